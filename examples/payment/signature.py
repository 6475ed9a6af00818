# How an answer is signed, after Standard Webhooks (https://www.standardwebhooks.com): whoever has the secret has
# written this body, with this id, at this time.
import base64
import hashlib
import hmac
import time

TOLERANCE = 300     # seconds: an answer that was recorded cannot be played back later


def sign(secret, headers, body):
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def is_genuine(secret, headers, body):
    try:
        fresh = abs(time.time() - int(headers["webhook-timestamp"])) <= TOLERANCE
        given = headers["webhook-signature"].split(" ")     # several while a secret is being changed
        return fresh and any(hmac.compare_digest(sign(secret, headers, body), one) for one in given)
    except (KeyError, AttributeError, TypeError, ValueError):
        return False

#!/usr/bin/env python3
"""Between commerce and a payment provider.

What the shop wants, its event feed says: PaymentRequested and ChargeRequested become payments at the provider,
RefundRequested a refund. What became of it the provider says, in signed answers that it posts to /answers.
A buyer is sent to /pay?payment_id=N, which goes on to the provider's page.

It keeps nothing of its own and may be killed at any time: a request has the reference of what it is for, by which
the provider knows it again, and an answer that comes again changes nothing in the shop.

Set PROVIDER_URL, PROVIDER_KEY, PROVIDER_SECRET, PORT, and how to connect to the shop (PGHOST and so on), as a role
that has grant_app().
"""
import json
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

from signature import is_genuine

PROVIDER, KEY, SECRET = (os.environ[f"PROVIDER_{name}"] for name in ("URL", "KEY", "SECRET"))
SUBSCRIPTION = "payments"
EVENTS = ["PaymentRequested", "ChargeRequested", "RefundRequested", "PaymentUnexpected"]


def shop(statement, *values):
    with psycopg.connect(autocommit=True) as connection:
        return connection.execute(statement, values).fetchall()


def ask(path, request):
    call = urllib.request.Request(
        PROVIDER + path, json.dumps(request).encode(),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=10) as answer:
        return json.load(answer)


def ask_payment(reference, amount):
    return ask("/payments", {"reference": reference, "amount": amount})


# What the shop wants

def handle(kind, payload):
    payment = payload.get("refund") or payload["payment"]
    if kind == "RefundRequested":
        # provider_event_id is that of the payment which it goes back to
        ask(f"/payments/{payment['provider_event_id']}/refunds",
            {"reference": f"refund-{payment['id']}", "amount": payment["amount"]})
    elif kind == "PaymentUnexpected":
        # nobody has asked for this money, so it goes back; a shop may want somebody to look at it first
        shop("SELECT FROM commerce.return_payment(%s, note => 'nobody has asked for it')", payment["id"])
    elif kind == "ChargeRequested":
        ask_payment(f"charge-{payment['id']}", payment["amount"])
    else:
        ask_payment(f"order-{payload['order_id']}-{payment['id']}", payment["amount"])


def follow():
    """Every event at least once, in its order. What fails is tried again with all that comes after it."""
    while True:
        try:
            events = shop("SELECT position, type, payload FROM commerce.fetch_events(%s) ORDER BY position", SUBSCRIPTION)
            for position, kind, payload in events:
                handle(kind, payload)
                shop("SELECT commerce.ack_events(%s, %s)", SUBSCRIPTION, position)
            time.sleep(0 if events else 0.2)
        except (psycopg.Error, OSError, ValueError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            time.sleep(1)


# What the provider says

def take_in(answer):
    succeeded = answer["status"] == "succeeded"
    what, number, *payment = answer["reference"].split("-")
    # A failure ends what is requested of the order now, and here it may be about an earlier try.
    if what == "order" and not succeeded and not shop(
            "SELECT FROM commerce.payments WHERE id = %s AND status = 'REQUESTED'", payment[0]):
        return
    # the payment's id at the provider, not the answer's: it is what a refund will name
    if what == "order":
        shop("SELECT FROM commerce.confirm_payment(%s, %s, %s, %s)", number, succeeded, answer["payment"], answer["amount"])
    elif what == "charge":
        shop("SELECT FROM commerce.confirm_charge(%s, %s, %s, %s)", number, succeeded, answer["payment"], answer["amount"])
    elif what == "refund":
        shop("SELECT FROM commerce.report_refund(%s, %s, %s)", number, succeeded, answer["refund"])
    else:
        raise ValueError("what is it about?")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 65536))
        if self.path != "/answers":
            return self.reply(404)
        if not is_genuine(SECRET, self.headers, body):
            return self.reply(401)
        try:
            take_in(json.loads(body))
            return self.reply(200)
        except psycopg.Error as error:
            # 22 and SH: the shop does not take it, however often it comes. Else the provider says it again.
            self.log_error("%s", error)
            return self.reply(422 if (error.sqlstate or "")[:2] in ("22", "SH") and error.sqlstate != "SH429" else 503)
        except (LookupError, TypeError, ValueError) as error:
            self.log_error("%r", error)
            return self.reply(422)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        wanted = urllib.parse.parse_qs(url.query).get("payment_id", [""])[0]
        if url.path != "/pay" or not re.fullmatch("[0-9]{1,18}", wanted):
            return self.reply(404)
        payment = int(wanted)
        try:
            # That the buyer is the payment's is for the shop's own pages to see to.
            row = shop("SELECT order_id, amount FROM commerce.payments WHERE id = %s AND status = 'REQUESTED' AND kind <> 'REFUND'",
                       payment)
            if not row:
                return self.reply(410)      # paid, failed or expired
            order_id, amount = row[0]
            reference = f"order-{order_id}-{payment}" if order_id else f"charge-{payment}"
            return self.reply(303, ask_payment(reference, amount)["page"])
        except (psycopg.Error, OSError, ValueError) as error:
            self.log_error("%s", error)
            return self.reply(503)

    def reply(self, status, location=None):
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, *_):
        pass


if not shop("SELECT FROM commerce.subscriptions WHERE name = %s", SUBSCRIPTION):
    shop("SELECT commerce.subscribe(%s, %s)", SUBSCRIPTION, EVENTS)
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
follow()

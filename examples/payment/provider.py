#!/usr/bin/env python3
"""A payment provider that moves no money, for trying things out: a page with a button, and signed answers.

It keeps its books in memory. Besides paying and declining its page does what real providers do at times: it takes
another amount, takes the money twice, says a thing three times, refuses a refund.

Set PROVIDER_KEY and PROVIDER_SECRET (as payments.py has them), ANSWERS_URL, where it posts its answers, and PORT.
RETURN_URL is where a buyer comes to in the end.
"""
import html
import json
import os
import threading
import time
import urllib.parse
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from signature import sign

KEY, SECRET = os.environ["PROVIDER_KEY"], os.environ["PROVIDER_SECRET"]
ANSWERS, PORT = os.environ["ANSWERS_URL"], int(os.environ["PORT"])
BACK = os.environ.get("RETURN_URL")

lock = threading.Lock()
payments = {}       # by id: reference, amount, status, paid, and its refunds by reference

PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Pay {amount} won</title>
<style>body {{ font: 1.1rem sans-serif; max-width: 24rem; margin: 3rem auto; padding: 0 1rem }}
button {{ font: inherit; display: block; width: 100%; margin: .5rem 0; padding: .6rem }}</style>
<h1>{amount} won</h1><p>{reference}: {status}</p><form method="post">{buttons}</form>"""
BUTTONS = {
    "pay": "Pay",
    "decline": "Decline",
    "less": "Pay 100 won less",
    "twice": "Pay twice",
    "thrice": "Pay, and say so three times",
    "keep": "Pay, and refuse the first refund",
}


def tell(answer):
    """Posts it until it is taken, for at most a minute, as a provider would for some days."""
    body = json.dumps(answer).encode()
    headers = {"Content-Type": "application/json", "webhook-id": f"msg_{uuid.uuid4().hex}"}
    for _ in range(120):
        headers["webhook-timestamp"] = str(int(time.time()))
        headers["webhook-signature"] = sign(SECRET, headers, body)
        try:
            urllib.request.urlopen(urllib.request.Request(ANSWERS, body, headers), timeout=10).close()
            return
        except OSError:     # also an answer that is not 2xx
            time.sleep(0.5)


def tell_later(*answers):
    threading.Thread(target=lambda: [tell(answer) for answer in answers], daemon=True).start()


def find_payment(reference, amount):
    for known, payment in payments.items():
        if payment["reference"] == reference:
            return known
    known = f"pay_{uuid.uuid4().hex[:16]}"
    payments[known] = {"reference": reference, "amount": amount, "status": "open", "paid": 0, "refunds": {}, "keep": False}
    return known


def settle(known, what):
    """What the buyer's button does, and what there is to be said of it."""
    payment = payments[known]
    if payment["status"] != "open":
        return []
    payment["status"] = "declined" if what == "decline" else "paid"
    payment["paid"] = 0 if what == "decline" else payment["amount"] - (100 if what == "less" else 0)
    payment["keep"] = what == "keep"
    answer = {"payment": known, "reference": payment["reference"], "amount": payment["paid"],
              "status": "failed" if what == "decline" else "succeeded"}
    if what == "twice":
        other = f"{known}_2"
        payments[other] = {**payment, "refunds": {}}
        return [answer, {**answer, "payment": other}]
    return [answer] * (3 if what == "thrice" else 1)


def refund(known, reference, amount):
    payment = payments[known]
    if reference in payment["refunds"]:
        return None         # asked before, and told
    given = sum(one["amount"] for one in payment["refunds"].values() if one["status"] == "succeeded")
    fails = payment["keep"] or given + amount > payment["paid"]
    payment["keep"] = False
    payment["refunds"][reference] = {"amount": amount, "status": "failed" if fails else "succeeded"}
    return {"payment": known, "reference": reference, "amount": amount, "refund": f"re_{uuid.uuid4().hex[:16]}",
            "status": payment["refunds"][reference]["status"]}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        at = self.path.strip("/").split("/")
        if at[0] == "page" and len(at) == 2 and at[1] in payments:
            what = urllib.parse.parse_qs(body.decode()).get("do", [""])[0]
            if what not in BUTTONS:
                return self.reply(400)
            with lock:
                answers = settle(at[1], what)
            tell_later(*answers)
            return self.reply(303, location=BACK or self.path)
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self.reply(401)
        request = json.loads(body)
        with lock:
            if at == ["payments"]:
                known = find_payment(request["reference"], request["amount"])
                return self.reply(200, {"payment": known, "page": f"http://127.0.0.1:{PORT}/page/{known}"})
            if len(at) == 3 and at[0] == "payments" and at[1] in payments and at[2] == "refunds":
                answer = refund(at[1], request["reference"], request["amount"])
                if answer:
                    tell_later(answer)
                return self.reply(200, {})
        return self.reply(404)

    def do_GET(self):
        at = self.path.strip("/").split("/")
        if at == ["books"] and self.headers.get("Authorization") == f"Bearer {KEY}":
            return self.reply(200, payments)
        if at[0] != "page" or len(at) != 2 or at[1] not in payments:
            return self.reply(404)
        payment = payments[at[1]]
        buttons = "".join(f'<button name="do" value="{do}">{label}</button>' for do, label in BUTTONS.items())
        return self.reply(200, page=PAGE.format(
            amount=f"{payment['amount']:,}", reference=html.escape(payment["reference"]), status=payment["status"],
            buttons=buttons if payment["status"] == "open" else ""))

    def reply(self, status, answer=None, page=None, location=None):
        content = page if page is not None else "" if answer is None else json.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/json")
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(content.encode())))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_request(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()

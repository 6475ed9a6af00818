import time

import psycopg
from psycopg.types.json import Jsonb

from again import answer

connection = psycopg.connect(autocommit=True)   # otherwise "sold out" leaves a transaction to roll back


def query(text, values=()):
    global connection
    if connection.closed:
        connection = psycopg.connect(autocommit=True)
    return connection.execute(text, values).fetchone()


def place_order(user_id, items, key):
    for tries in range(1, 6):
        try:
            return query(
                "SELECT id, payment_amount FROM commerce.place_order(%s, %s, idempotency_key => %s)",
                (user_id, Jsonb(items), key))
        except psycopg.Error as error:
            answer(error, error.sqlstate, error.diag.message_detail, tries)
            time.sleep(0.05)


from main import main
main(place_order, lambda: query("SELECT pg_backend_pid()"))

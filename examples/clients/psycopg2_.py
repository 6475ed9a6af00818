import time

import psycopg2
from psycopg2.extras import Json

from again import answer


def connect():
    connection = psycopg2.connect("")           # PGHOST and so on
    connection.autocommit = True                # otherwise "sold out" leaves a transaction to roll back
    return connection


connection = connect()


def query(text, values=()):
    global connection
    if connection.closed:
        connection = connect()
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchone()


def place_order(user_id, items, key):
    for tries in range(1, 6):
        try:
            return query(
                "SELECT id, payment_amount FROM commerce.place_order(%s, %s::jsonb, idempotency_key => %s)",
                (user_id, Json(items), key))
        except psycopg2.Error as error:
            answer(error, error.pgcode, error.diag.message_detail, tries)
            time.sleep(0.05)


from main import main
main(place_order, lambda: query("SELECT pg_backend_pid()"))

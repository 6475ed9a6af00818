import json
import os
import time

from django.conf import settings
from django.db import Error, connection

from again import answer

settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 600,
    "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"], "NAME": os.environ["PGDATABASE"],
    "USER": os.environ["PGUSER"], "PASSWORD": os.environ["PGPASSWORD"]}})


def query(text, values=()):
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchone()


def place_order(user_id, items, key):
    for tries in range(1, 6):
        try:
            return query(
                "SELECT id, payment_amount FROM commerce.place_order(%s, %s::jsonb, idempotency_key => %s)",
                (user_id, json.dumps(items), key))
        except Error as error:
            cause = error.__cause__             # the driver's error, here of psycopg2
            connection.close_if_unusable_or_obsolete()   # as at the end of a request
            answer(error, cause.pgcode, cause.diag.message_detail, tries)
            time.sleep(0.05)


from main import main
main(place_order, lambda: query("SELECT pg_backend_pid()"))

import json
import os
import time

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from again import answer

engine = create_engine(os.environ["DATABASE_URL"], pool_size=10, isolation_level="AUTOCOMMIT")
ORDER = text("SELECT id, payment_amount FROM commerce.place_order(:user_id, CAST(:items AS jsonb), idempotency_key => :key)")


def query(statement, **values):
    with engine.connect() as connection:
        return connection.execute(statement, values).one()


def place_order(user_id, items, key):
    for tries in range(1, 6):
        try:
            return query(ORDER, user_id=user_id, items=json.dumps(items), key=key)   # not :items::jsonb
        except DBAPIError as error:
            # .orig is the driver's error, here of psycopg2; of psycopg it is .orig.sqlstate
            answer(error, error.orig.pgcode, error.orig.diag.message_detail, tries)
            time.sleep(0.05)


from main import main
main(place_order, lambda: query(text("SELECT pg_backend_pid()")))

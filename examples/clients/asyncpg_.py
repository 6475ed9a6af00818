import asyncio
import json

import asyncpg

from again import answer


async def prepare(connection):                  # items as a list, not as a string of JSON
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def place_order(pool, user_id, items, key):
    for tries in range(1, 6):
        try:
            return await pool.fetchrow(
                "SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)",
                user_id, items, key)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            answer(error, getattr(error, "sqlstate", None), getattr(error, "detail", None), tries)
            await asyncio.sleep(0.05)


from main import main
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
pool = loop.run_until_complete(asyncpg.create_pool(min_size=1, max_size=10, init=prepare))
main(lambda *order: loop.run_until_complete(place_order(pool, *order)),
     lambda: loop.run_until_complete(pool.fetchval("SELECT pg_backend_pid()")))

import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { again } from './again.mjs';

pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);         // a bigint is a string otherwise
const pool = new pg.Pool({ max: 10 });
pool.on('error', () => {});                                     // without these two, a connection
pool.on('connect', (client) => client.on('error', () => {}));   // that is lost ends the process
const db = new Kysely({ dialect: new PostgresDialect({ pool }) });

async function placeOrder(userId, items, key) {
  const { rows: [order] } = await again(() => sql`
    SELECT id, payment_amount
    FROM commerce.place_order(${userId}, ${JSON.stringify(items)}, idempotency_key => ${key})`.execute(db));
  return order;
}

import { main } from './main.mjs';
await main({
  placeOrder,
  backend: async () => (await sql`SELECT pg_backend_pid() AS pid`.execute(db)).rows[0].pid,
  end: () => db.destroy(),
});

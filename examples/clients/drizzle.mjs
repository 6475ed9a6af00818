import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import { again } from './again.mjs';

const client = postgres({ max: 10, types: { bigint: postgres.BigInt } });
const db = drizzle({ client });                 // over pg's pool each error closes a connection

async function placeOrder(userId, items, key) {
  const [order] = await again(() => db.execute(sql`
    SELECT id, payment_amount
    FROM commerce.place_order(${userId}, ${JSON.stringify(items)}, idempotency_key => ${key})`));
  return order;
}

import { main } from './main.mjs';
await main({
  placeOrder,
  backend: async () => (await db.execute(sql`SELECT pg_backend_pid() AS pid`))[0].pid,
  end: () => client.end({ timeout: 1 }),
});

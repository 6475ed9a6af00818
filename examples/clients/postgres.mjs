import postgres from 'postgres';
import { again } from './again.mjs';

const sql = postgres({ max: 10, types: { bigint: postgres.BigInt } });   // a bigint is a string otherwise

async function placeOrder(userId, items, key) {
  const [order] = await again(() => sql`
    SELECT id, payment_amount
    FROM commerce.place_order(${userId}, ${sql.json(items)}, idempotency_key => ${key})`);
  return order;
}

import { main } from './main.mjs';
await main({
  placeOrder,
  backend: async () => (await sql`SELECT pg_backend_pid() AS pid`)[0].pid,
  end: () => sql.end({ timeout: 1 }),
});

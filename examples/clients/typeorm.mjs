import pg from 'pg';
import { DataSource } from 'typeorm';
import { again } from './again.mjs';

pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);         // a bigint is a string otherwise
const db = new DataSource({ type: 'postgres', url: process.env.DATABASE_URL, poolSize: 10 });
await db.initialize();

async function placeOrder(userId, items, key) {
  const [order] = await again(() => db.query(
    'SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)',
    [userId, JSON.stringify(items), key]));
  return order;
}

import { main } from './main.mjs';
await main({
  placeOrder,
  backend: async () => (await db.query('SELECT pg_backend_pid() AS pid'))[0].pid,
  end: () => db.destroy(),
});

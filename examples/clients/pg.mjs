import pg from 'pg';
import { again } from './again.mjs';

pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);         // a bigint is a string otherwise
const pool = new pg.Pool({ max: 10 });
pool.on('error', () => {});                                     // without these two, a connection
pool.on('connect', (client) => client.on('error', () => {}));   // that is lost ends the process

async function query(text, values) {
  const client = await pool.connect();                          // not pool.query()
  try {
    return (await client.query(text, values)).rows;
  } finally {
    client.release();                                           // not release(error)
  }
}

async function placeOrder(userId, items, key) {
  const [order] = await again(() => query(
    'SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)',
    [userId, JSON.stringify(items), key]));                     // an array would become PostgreSQL's
  return order;
}

import { main } from './main.mjs';
await main({
  placeOrder,
  backend: async () => (await query('SELECT pg_backend_pid() AS pid'))[0].pid,
  end: () => pool.end(),
});

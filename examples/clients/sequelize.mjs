import pg from 'pg';
import { QueryTypes, Sequelize } from 'sequelize';
import { again } from './again.mjs';

pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);         // a bigint is a string otherwise
const db = new Sequelize(process.env.DATABASE_URL, { dialect: 'postgres', logging: false, pool: { max: 10 } });

async function placeOrder(userId, items, key) {
  const [order] = await again(() => db.query(
    'SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)',
    { bind: [userId, JSON.stringify(items), key], type: QueryTypes.SELECT }));
  return order;
}

import { main } from './main.mjs';
await main({
  placeOrder,
  backend: async () => (await db.query('SELECT pg_backend_pid() AS pid', { type: QueryTypes.SELECT }))[0].pid,
  end: () => db.close(),
});

import { PrismaPg } from '@prisma/adapter-pg';
import prisma from './generated/index.js';      // npx prisma generate --schema schema.prisma
import { again } from './again.mjs';

const db = new prisma.PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL, max: 10 }) });

async function placeOrder(userId, items, key) {
  // without the transaction each error closes a connection
  const [order] = await again(() => db.$transaction((tx) => tx.$queryRaw`
    SELECT id, payment_amount
    FROM commerce.place_order(${userId}, ${JSON.stringify(items)}::jsonb, idempotency_key => ${key})`));
  return order;
}

import { main } from './main.mjs';
await main({
  placeOrder,
  backend: async () => (await db.$queryRaw`SELECT pg_backend_pid() AS pid`)[0].pid,
  end: () => db.$disconnect(),
});

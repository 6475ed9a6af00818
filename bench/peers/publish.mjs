// Brings events to a Redis stream: those of the stateless application's outbox, or commerce's.
//
//   node publish.mjs outbox|commerce

import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';

const redis = new Redis(process.env.REDIS);
const db = new pg.Client();
await db.connect();

async function publish(events) {
  const pipeline = redis.pipeline();
  for (const event of events) pipeline.xadd('events', 'MAXLEN', '~', 10000, '*', 'type', event.type, 'payload', event.payload);
  await pipeline.exec();
  return events.length;
}

async function outbox() {
  await db.query('BEGIN');
  const { rows } = await db.query('DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING type, payload::text');
  await publish(rows);
  await db.query('COMMIT');
  return rows.length;
}

async function commerce() {
  const { rows } = await db.query("SELECT position, type, payload::text FROM commerce.fetch_events('peers', 500) ORDER BY position");
  if (!rows.length) return 0;
  await publish(rows);
  await db.query("SELECT commerce.ack_events('peers', $1)", [rows.at(-1).position]);
  return rows.length;
}

const round = { outbox, commerce }[process.argv[2]];
for (;;) if (await round() < 500) await sleep(100);

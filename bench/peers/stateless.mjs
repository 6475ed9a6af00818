// The usual stateless application: stock is taken in Redis by a script, the order is a transaction in PostgreSQL,
// events go to an outbox, which publish.mjs brings to a stream.
//
//   node stateless.mjs PORT statements|one|place_order
//
// place_order is the same application with commerce.place_order() in the place of all that.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { Redis } from 'ioredis';
import pg from 'pg';

const [port, form] = process.argv.slice(2);
const db = new pg.Pool({ max: 10 });
const redis = new Redis(process.env.REDIS);
redis.defineCommand('take', {
  lua: `for i, key in ipairs(KEYS) do if tonumber(redis.call('GET', key) or 0) < tonumber(ARGV[i]) then return 0 end end
        for i, key in ipairs(KEYS) do redis.call('DECRBY', key, ARGV[i]) end
        return 1`,
});

class Refused extends Error {}

async function takeStock(items) {
  const keys = items.map((item) => `stock:${item.product_id}`);
  if (!await redis.take(keys.length, ...keys, ...items.map((item) => item.quantity))) throw new Refused('sold out');
}

const giveBack = (items) => Promise.all(items.map((item) => redis.incrby(`stock:${item.product_id}`, item.quantity)));

async function byStatements(client, user, items) {
  const products = await client.query('SELECT id, seller_id, name, price FROM products WHERE id = ANY ($1)', [items.map((item) => item.product_id)]);
  const lines = items.map((item) => ({ ...item, ...products.rows.find((product) => product.id == item.product_id) }));
  const total = lines.reduce((sum, line) => sum + line.price * line.quantity, 0);
  await client.query('BEGIN');
  try {
    const paid = await client.query('UPDATE users SET balance = balance - $2 WHERE id = $1 AND balance >= $2 RETURNING balance', [user, total]);
    if (!paid.rowCount) throw new Refused('not enough balance');
    const order = (await client.query("INSERT INTO orders (user_id, status, total) VALUES ($1, 'PAID', $2) RETURNING id, user_id, status, total, created_at", [user, total])).rows[0];
    for (const line of lines) {
      await client.query('INSERT INTO order_items (order_id, product_id, seller_id, product_name, quantity, price) VALUES ($1, $2, $3, $4, $5, $6)',
        [order.id, line.product_id, line.seller_id, line.name, line.quantity, line.price]);
    }
    await client.query('INSERT INTO payments (order_id, amount) VALUES ($1, $2)', [order.id, total]);
    await client.query('INSERT INTO balance_entries (user_id, order_id, amount, balance_after) VALUES ($1, $2, $3, $4)', [user, order.id, -total, paid.rows[0].balance]);
    const payload = { ...order, items: lines };
    await client.query("INSERT INTO outbox (type, order_id, payload) VALUES ('OrderCreated', $1, $2), ('PaymentCompleted', $1, $2)", [order.id, payload]);
    await client.query('COMMIT');
    return payload;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

const oneStatement = `
  WITH lines AS (
    SELECT p.id AS product_id, i.quantity, p.seller_id, p.name, p.price
    FROM jsonb_to_recordset($2) i (product_id bigint, quantity bigint) JOIN products p ON p.id = i.product_id
  ), cost AS (
    SELECT sum(price * quantity)::bigint AS total FROM lines
  ), paid AS (
    UPDATE users SET balance = balance - total FROM cost WHERE id = $1 AND balance >= total RETURNING balance, total
  ), made AS (
    INSERT INTO orders (user_id, status, total) SELECT $1, 'PAID', total FROM paid RETURNING id, user_id, status, total, created_at
  ), items AS (
    INSERT INTO order_items (order_id, product_id, seller_id, product_name, quantity, price)
    SELECT made.id, product_id, seller_id, name, quantity, price FROM made, lines
  ), payment AS (
    INSERT INTO payments (order_id, amount) SELECT id, total FROM made
  ), entry AS (
    INSERT INTO balance_entries (user_id, order_id, amount, balance_after) SELECT $1, id, -made.total, balance FROM made, paid
  ), event AS (
    SELECT made.id, to_jsonb(made) || jsonb_build_object('items', (SELECT jsonb_agg(lines) FROM lines)) AS payload FROM made
  ), events AS (
    INSERT INTO outbox (type, order_id, payload) SELECT type, id, payload FROM event, (VALUES ('OrderCreated'), ('PaymentCompleted')) t (type)
  )
  SELECT payload FROM event`;

async function inOneStatement(client, user, items) {
  const made = await client.query({ text: oneStatement, values: [user, JSON.stringify(items)] });
  if (!made.rowCount) throw new Refused('not enough balance');
  return made.rows[0].payload;
}

async function byPlaceOrder(client, user, items) {
  try {
    const made = await client.query('SELECT to_json(o) AS answer FROM commerce.place_order($1, $2) o', [user, JSON.stringify(items)]);
    return made.rows[0].answer;
  } catch (error) {
    throw error.code === 'SH001' ? new Refused('sold out') : error;
  }
}

const make = { statements: byStatements, one: inOneStatement, place_order: byPlaceOrder }[form];

async function place(user, items) {
  if (form !== 'place_order') await takeStock(items);
  const client = await db.connect();
  try {
    return await make(client, user, items);
  } catch (error) {
    if (form !== 'place_order') await giveBack(items);
    throw error;
  } finally {
    client.release();
  }
}

// the user of a token
function userOf(authorization = '') {
  const [head, claims, signature] = authorization.slice('Bearer '.length).split('.');
  const right = createHmac('sha256', process.env.JWT_SECRET).update(`${head}.${claims}`).digest('base64url');
  if (signature?.length !== right.length || !timingSafeEqual(Buffer.from(signature), Buffer.from(right))) throw new Refused('no such token');
  return JSON.parse(Buffer.from(claims, 'base64url')).sub;
}

createServer(async (request, response) => {
  const answer = (status, body) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  try {
    const user = userOf(request.headers.authorization);
    let body = '';
    for await (const chunk of request) body += chunk;
    answer(201, await place(user, JSON.parse(body).items));
  } catch (error) {
    if (error instanceof Refused) return answer(409, { message: error.message });
    console.error(error);
    answer(500, { message: 'internal error' });
  }
}).listen(Number(port), '127.0.0.1');

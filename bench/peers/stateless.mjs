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
const redis = new Redis(process.env.REDIS, { enableAutoPipelining: true });
redis.defineCommand('take', {
  lua: `for i, key in ipairs(KEYS) do if tonumber(redis.call('GET', key) or 0) < tonumber(ARGV[i]) then return 0 end end
        for i, key in ipairs(KEYS) do redis.call('DECRBY', key, ARGV[i]) end
        return 1`,
});

class Refused extends Error {}

// Connections that send the next statement before the last one is answered. A single statement shares one with
// others; a transaction, all of whose statements are sent at once, is alone on it for that moment only.
const connections = await Promise.all(Array.from({ length: 4 }, async () => {
  const client = new pg.Client({ pipeline: true });
  await client.connect();
  return client;
}));
let turn = 0;
const connection = () => connections[turn = (turn + 1) % connections.length];
const query = (client, name, text, values) => client.query({ name, text, values });

async function takeStock(items) {
  const keys = items.map((item) => `stock:${item.product_id}`);
  if (!await redis.take(keys.length, ...keys, ...items.map((item) => item.quantity))) throw new Refused('sold out');
}

const giveBack = (items) => Promise.all(items.map((item) => redis.incrby(`stock:${item.product_id}`, item.quantity)));

// The catalogue is kept for a second.
const catalogue = new Map();
async function productOf(id) {
  const kept = catalogue.get(id);
  if (kept?.until > Date.now()) return kept;
  const { rows: [product] } = await query(connection(), 'product', 'SELECT seller_id, name, price FROM products WHERE id = $1', [id]);
  catalogue.set(id, { ...product, until: Date.now() + 1000 });
  return catalogue.get(id);
}

// Ids are drawn by the hundred, so that a statement need not wait for the answer to the one before.
let nextId = 0, lastId = -1, drawing;
async function newId() {
  while (nextId > lastId) {
    await (drawing ??= query(connection(), 'ids', "SELECT nextval('order_ids') AS first", []).then(({ rows }) => {
      [nextId, lastId, drawing] = [Number(rows[0].first), Number(rows[0].first) + 99, undefined];
    }));
  }
  return nextId++;
}

async function orderOf(user, items) {
  const lines = await Promise.all(items.map(async (item) => {
    const { seller_id, name, price } = await productOf(item.product_id);
    return { product_id: item.product_id, quantity: item.quantity, seller_id, name, price };
  }));
  const total = lines.reduce((sum, line) => sum + line.price * line.quantity, 0);
  return { id: await newId(), user_id: user, status: 'PAID', total, created_at: new Date().toISOString(), items: lines };
}

async function byStatements(order, text) {
  const client = connection();
  const { id, user_id, total, created_at, items } = order;
  const results = await Promise.allSettled([
    query(client, 'begin', 'BEGIN', []),
    query(client, 'pay', 'UPDATE users SET balance = balance - $2 WHERE id = $1', [user_id, total]), // CHECK (balance >= 0)
    query(client, 'order', "INSERT INTO orders (id, user_id, status, total, created_at) VALUES ($1, $2, 'PAID', $3, $4)", [id, user_id, total, created_at]),
    ...items.map((line) => query(client, 'item', 'INSERT INTO order_items (order_id, product_id, seller_id, product_name, quantity, price) VALUES ($1, $2, $3, $4, $5, $6)',
      [id, line.product_id, line.seller_id, line.name, line.quantity, line.price])),
    query(client, 'payment', 'INSERT INTO payments (order_id, amount) VALUES ($1, $2)', [id, total]),
    query(client, 'entry', 'INSERT INTO balance_entries (user_id, order_id, amount, balance_after) SELECT $1, $2, -$3::bigint, balance FROM users WHERE id = $1', [user_id, id, total]),
    query(client, 'event', "INSERT INTO outbox (type, order_id, payload) VALUES ('OrderCreated', $1, $2), ('PaymentCompleted', $1, $2)", [id, text]),
    query(client, 'commit', 'COMMIT', []), // after an error, a ROLLBACK
  ]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

const oneStatement = `
  WITH paid AS (
    UPDATE users SET balance = balance - $3 WHERE id = $2 RETURNING balance
  ), made AS (
    INSERT INTO orders (id, user_id, status, total, created_at) VALUES ($1, $2, 'PAID', $3, $4)
  ), items AS (
    INSERT INTO order_items (order_id, product_id, seller_id, product_name, quantity, price)
    SELECT $1, * FROM unnest($5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[])
  ), payment AS (
    INSERT INTO payments (order_id, amount) VALUES ($1, $3)
  ), entry AS (
    INSERT INTO balance_entries (user_id, order_id, amount, balance_after) SELECT $2, $1, -$3, balance FROM paid
  )
  INSERT INTO outbox (type, order_id, payload) VALUES ('OrderCreated', $1, $10), ('PaymentCompleted', $1, $10)`;

async function inOneStatement(order, text) {
  const column = (name) => order.items.map((line) => line[name]);
  await query(connection(), 'one', oneStatement, [order.id, order.user_id, order.total, order.created_at,
    column('product_id'), column('seller_id'), column('name'), column('quantity'), column('price'), text]);
}

async function place(user, items) {
  if (form === 'place_order') {
    const { rows: [made] } = await query(connection(), 'place', 'SELECT to_json(o)::text AS text FROM commerce.place_order($1, $2) o', [user, JSON.stringify(items)]);
    return made.text;
  }
  await takeStock(items);
  try {
    const order = await orderOf(user, items);
    const text = JSON.stringify(order);
    await (form === 'one' ? inOneStatement : byStatements)(order, text);
    return text;
  } catch (error) {
    await giveBack(items);
    throw error;
  }
}

const refusals = { 23514: 'not enough balance', SH001: 'sold out', SH002: 'not enough balance' };

// the user of a token, which is not checked a second time
const known = new Map();
function userOf(authorization = '') {
  if (known.has(authorization)) return known.get(authorization);
  const [head, claims, signature] = authorization.slice('Bearer '.length).split('.');
  const right = createHmac('sha256', process.env.JWT_SECRET).update(`${head}.${claims}`).digest('base64url');
  if (signature?.length !== right.length || !timingSafeEqual(Buffer.from(signature), Buffer.from(right))) throw new Refused('no such token');
  known.set(authorization, JSON.parse(Buffer.from(claims, 'base64url')).sub);
  return known.get(authorization);
}

createServer((request, response) => {
  const answer = (status, text) => response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }).end(text);
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk)).on('end', async () => {
    try {
      answer(201, await place(userOf(request.headers.authorization), JSON.parse(Buffer.concat(chunks)).items));
    } catch (error) {
      const refusal = error instanceof Refused ? error.message : refusals[error.code];
      if (!refusal) console.error(error);
      answer(refusal ? 409 : 500, JSON.stringify({ message: refusal ?? 'internal error' }));
    }
  });
}).listen(Number(port), '127.0.0.1');

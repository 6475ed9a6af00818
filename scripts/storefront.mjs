// The storefront for the demo: the files of examples/storefront, postgrest-js, and what stands in for that which a shop
// has around it: a sign-in, a payment provider, sellers who send parcels, and a hundred buyers for the rush.
//
//   node storefront.mjs FOLDER POSTGREST_JS PORT
//
// In the environment: SHOP_URL, where PostgREST is; JWT_SECRET, its secret; ADMIN_ID, an administrator; ROLE_PREFIX of the
// roles of the database, web_ by default. Whoever reaches this port can be any buyer and pay with nothing: it listens on
// this machine alone, and answers its own pages alone.

import { createHmac, randomInt, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';

const [folder, postgrestJs, port] = process.argv.slice(2);
const { SHOP_URL: shop, JWT_SECRET: secret, ADMIN_ID: adminId, ROLE_PREFIX: prefix = 'web_' } = process.env;
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
const hosts = [`127.0.0.1:${port}`, `localhost:${port}`];
const headers = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ${shop}; `
    + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
};

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
function token(role, id) {
  const content = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ role: prefix + role, sub: String(id), aud: 'shop', exp: Math.floor(Date.now() / 1000) + 86400 })}`;
  return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`;
}

// What the shop says to an administrator; what it refuses is passed on.
class Refused extends Error {}
async function ask(path, body) {
  const response = await fetch(`${shop}/${path}`, {
    method: body ? 'POST' : 'GET', body: body && JSON.stringify(body),
    headers: { Authorization: `Bearer ${token('admin', adminId)}`, ...(body && { 'Content-Type': 'application/json' }) },
  });
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.message ?? `HTTP ${response.status}`);
  return answer;
}
const call = async (name, body) => (await ask(`rpc/${name}`, body)).data;
const id = (value) => { if (!Number.isSafeInteger(value)) throw new Refused('an id is a number'); return value; };

// The storefront's settings. A shop of your own has the first three in a file, and no list of people.
async function settings() {
  const { currency, timezone } = (await ask('rpc/shop_status')).data;
  const people = await ask('users?role=eq.BUYER&status=eq.ACTIVE&select=id,name&order=id&limit=3');
  return { shop, currency, timezone, buyers: people.map((p) => ({ ...p, token: token('buyer', p.id) })) };
}

// The payment provider.
async function pay({ order_id: order, succeeds }) {
  const [payment] = await ask(`payments?order_id=eq.${id(order)}&kind=eq.PAYMENT&method=eq.EXTERNAL&status=eq.REQUESTED`);
  if (!payment) throw new Refused('this order waits for no payment');
  await call('confirm_payment', { order_id: order, succeeded: succeeds === true, provider_event_id: `demo-${randomUUID()}`, amount: payment.amount });
}
async function payBack({ order_id: order }) {
  for (const refund of await ask(`payments?order_id=eq.${id(order)}&kind=eq.REFUND&method=eq.EXTERNAL&status=eq.REQUESTED`)) {
    await call('report_refund', { payment_id: refund.id, succeeded: true, provider_event_id: `demo-${randomUUID()}` });
  }
}

// The sellers, and the parcel service.
async function send({ order_id: order }) {
  const items = await ask(`order_items?order_id=eq.${id(order)}&status=eq.PREPARING&select=id,seller_id&order=seq`);
  for (const seller of new Set(items.map((i) => i.seller_id))) {
    const parcel = await call('dispatch_items', { order_item_ids: items.filter((i) => i.seller_id === seller).map((i) => i.id), carrier: 'Korea Post', tracking_number: `6892-${randomInt(1000, 10000)}-${randomInt(1000, 10000)}` });
    await call('change_shipment_status', { shipment_id: parcel.id, new_status: 'IN_TRANSIT' });
  }
}
async function deliver({ order_id: order }) {
  const items = await ask(`order_items?order_id=eq.${id(order)}&status=in.(DISPATCHED,IN_TRANSIT)&select=shipment_id`);
  for (const parcel of new Set(items.map((i) => i.shipment_id))) await call('change_shipment_status', { shipment_id: parcel, new_status: 'DELIVERED' });
}
async function takeBack({ order_id: order }) {
  const items = await ask(`order_items?order_id=eq.${id(order)}&status=in.(RETURN_REQUESTED,EXCHANGE_REQUESTED)&select=id,status`);
  for (const { id: item, status } of items) {
    const [accepted, complete] = status === 'RETURN_REQUESTED' ? ['RETURN_PROCESSING', 'complete_return'] : ['EXCHANGE_PROCESSING', 'complete_exchange'];
    await call('change_item_status', { order_item_id: item, new_status: accepted });
    await call(complete, { order_item_id: item });
  }
}

// A coupon of which there are twenty, and a hundred buyers.
async function rush() {
  const quantity = 20;
  const people = await ask('users?role=eq.BUYER&status=eq.ACTIVE&select=id&order=id.desc&limit=100');
  while (people.length < 100) people.push({ id: (await call('create_user', { name: `Rush ${people.length + 1}` })).user_id });
  const coupon = await call('create_coupon', { name: 'Rush', kind: 'FIXED', value: 3000, quantity, valid_days: 1, min_order_amount: 10000 });
  return { coupon_id: coupon.coupon_id, quantity, tokens: people.map((p) => token('buyer', p.id)) };
}

const doing = { '/demo/pay': pay, '/demo/pay-back': payBack, '/demo/send': send, '/demo/deliver': deliver, '/demo/take-back': takeBack, '/demo/rush': rush };

async function read(request) {
  let body = '';
  for await (const part of request) {
    body += part;
    if (body.length > 1000) throw new Refused('too long');
  }
  try { return JSON.parse(body); } catch { throw new Refused('no JSON'); }
}

async function answer(request) {
  const path = new URL(request.url, 'http://localhost').pathname;
  // a page of another site would have to ask first before it sends JSON, and is not answered
  if (request.method === 'POST') {
    if (!doing[path] || request.headers['content-type'] !== 'application/json') return [404];
    return [200, 'application/json', JSON.stringify(await doing[path](await read(request)) ?? {})];
  }
  if (path === '/settings.json') return [200, 'application/json', JSON.stringify(await settings())];
  if (path === '/postgrest.js') return [200, types['.js'], await readFile(postgrestJs)];
  const file = path === '/' ? '/index.html' : path;
  if (!/^(\/[a-z0-9-]+)+\.[a-z]+$/.test(file) || !types[extname(file)]) return [404];
  return [200, types[extname(file)], await readFile(join(folder, file))];
}

createServer(async (request, response) => {
  let [status, type, content] = [421];
  try {
    // a name of somebody else's that leads here is not ours
    if (hosts.includes(request.headers.host)) [status, type, content] = await answer(request);
  } catch (error) {
    if (error instanceof Refused) [status, type, content] = [409, 'application/json', JSON.stringify({ message: error.message })];
    else if (error.code === 'ENOENT' || error.code === 'ERR_INVALID_URL') status = 404;
    else [status, type, content] = [502, 'application/json', JSON.stringify({ message: error.message })];
  }
  response.writeHead(status, { ...headers, ...(type && { 'Content-Type': type }) }).end(content);
}).listen(Number(port), '127.0.0.1');

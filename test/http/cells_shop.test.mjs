// A shop of three cells over REST: databases that share the catalogue, a PostgREST for each, and HAProxy with what
// deploy/cells/configure makes of their list. cells.test.mjs has the rules by which it routes.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { token } from './shop.mjs';

const root = join(import.meta.dirname, '../..');
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
const folder = mkdtempSync(join(tmpdir(), 'cells-'));
const cells = [0, 1, 2];
const children = [];
let skip = false;
try { execFileSync('haproxy', ['-v'], { env }); } catch { skip = 'there is no haproxy: scripts/install-packages installs it'; }

async function listen(port) {
  const server = createServer().listen(port, '127.0.0.1');
  await Promise.race([once(server, 'listening'), once(server, 'error').then(([error]) => { throw error; })]);
  return server;
}

// A free port, of which the next one is free, too
async function freePort() {
  for (;;) {
    const server = await listen(0);
    const { port } = server.address();
    const next = await listen(port + 1).catch(() => null);
    for (const taken of [server, next]) if (taken) { taken.close(); await once(taken, 'close'); }
    if (next) return port;
  }
}

async function until(done, what) {
  for (let i = 0; i < 1200; i++) {
    if (await done()) return;
    await new Promise((later) => setTimeout(later, 50));
  }
  assert.fail(`waited in vain for ${what}:\n${children.map((child) => child.output.slice(-2000)).join('\n')}`);
}

let port;
const socket = join(folder, 'socket');
const conninfo = (cell) => `host=${socket} port=${port} dbname=cell${cell}`;
const sql = (database, text) => execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', `host=${socket} port=${port} dbname=${database} user=postgres`], { input: text, encoding: 'utf8' }).trim();
const in_cell = (cell, text) => sql(`cell${cell}`, text);

async function startServer() {
  const data = join(folder, 'data');
  mkdirSync(socket);
  port = await freePort();
  execFileSync('initdb', ['-D', data, '-U', 'postgres', '--auth=trust', '--no-sync', '--encoding=UTF8', '--locale=C.UTF-8'], { stdio: 'pipe' });
  writeFileSync(join(data, 'postgresql.auto.conf'), `listen_addresses = ''\nunix_socket_directories = '${socket}'\nport = ${port}\nshared_preload_libraries = 'commerce'
wal_level = logical\nmax_worker_processes = 32\nwal_retrieve_retry_interval = 100ms\nfsync = off\n`);
  execFileSync('pg_ctl', ['start', '-w', '-D', data, '-l', join(folder, 'log')], { stdio: 'ignore' });
}

// What docs/cells.md has for new cells
async function makeCells() {
  const roles = readFileSync(join(root, 'deploy/roles.sql'), 'utf8');
  for (const cell of cells) {
    sql('postgres', `CREATE DATABASE cell${cell}`);
    in_cell(cell, `CREATE EXTENSION commerce;\n\\set password x\n${roles}`);
    if (cell === 0) in_cell(0, "SELECT commerce.publish_catalogue(), commerce.create_user('Ann', 'ann@example.com', role => 'ADMIN')");
    else {
      in_cell(0, `SELECT commerce.admit_cell(${cell})`);
      in_cell(cell, `SELECT commerce.set_cell(${cell}); SELECT commerce.join_cells('${conninfo(0)} user=postgres')`);
    }
  }
  // whom an identity provider knows
  in_cell(2, "ALTER DATABASE cell2 SET commerce.jwt_subject = 'external_id'");
  for (const cell of [1, 2]) await until(() => in_cell(cell, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel") === 't', `the catalogue in cell ${cell}`);
}

function start(command, args, more = {}) {
  const child = spawn(command, args, { env: { ...env, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
  child.output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { child.output += data; });
  children.push(child);
  return child;
}

const isUp = (url) => fetch(url).then((answer) => answer.status < 500, () => false);
let base, haproxy;

async function startPrograms() {
  const rest = [];
  for (const cell of cells) {
    rest[cell] = await freePort();
    start(process.env.POSTGREST ?? 'postgrest', [join(root, 'deploy/postgrest.conf')], {
      PGRST_DB_URI: `${conninfo(cell)} user=authenticator`, PGRST_JWT_SECRET: process.env.COMMERCE_JWT_SECRET,
      PGRST_SERVER_PORT: String(rest[cell]), PGRST_ADMIN_SERVER_PORT: String(rest[cell] + 1), PGRST_LOG_LEVEL: 'error',
    });
  }
  for (const cell of cells) await until(() => isUp(`http://127.0.0.1:${rest[cell] + 1}/ready`), `PostgREST of cell ${cell}`);
  const [list, config, shop] = [join(folder, 'cells'), join(folder, 'haproxy.cfg'), await freePort()];
  writeFileSync(list, cells.map((cell) => `${cell} 127.0.0.1:${rest[cell]} ${conninfo(cell)}\n`).join(''));
  writeFileSync(config, execFileSync('perl', [join(root, 'deploy/cells/configure'), 'haproxy', list, String(shop)], { encoding: 'utf8' })
    .replaceAll('check port', 'check inter 100 fall 1 rise 1 port').replace('\ttimeout queue', '\ttimeout check 10s\n\ttimeout queue'));
  base = `http://127.0.0.1:${shop}`;
  haproxy = start('haproxy', ['-f', config]);
  await until(() => isUp(`${base}/products`), 'HAProxy');
}

before(async () => {
  if (skip) return;
  await startServer();
  await makeCells();
  await startPrograms();
});
after(() => {
  for (const child of children) child.kill();
  if (!skip) execFileSync('pg_ctl', ['stop', '-m', 'immediate', '-D', join(folder, 'data')], { stdio: 'ignore' });
  rmSync(folder, { recursive: true, force: true });
});

async function ask(claims, path, body, headers = {}) {
  const answer = await fetch(base + path, {
    method: body ? 'POST' : 'GET', body: body && JSON.stringify(body),
    headers: { ...(claims ? { Authorization: `Bearer ${token(claims)}` } : {}), ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers },
  });
  const text = await answer.text();
  const json = text ? JSON.parse(text) : null;
  return { status: answer.status, text, json, code: json?.code, data: json?.data };
}

const call = (claims, name, body) => ask(claims, `/rpc/${name}`, body);
async function done(claims, name, body) {
  const answer = await call(claims, name, body);
  assert.ok(answer.status < 300, `${name}: ${answer.status} ${answer.text}`);
  return answer.data;
}

const admin = { role: 'web_admin', sub: '1' };
const buyer = (sub, more = {}) => ({ role: 'web_buyer', sub: String(sub), ...more });
const cellOf = (id) => Math.floor(id / 1e12);
const cellOfSheet = (id) => parseInt(id.slice(-4), 16) & 0x3fff;
let product, seller;
const buyers = [];

// so that an answer about the product tells the cell
const units = (cell) => 100 * (cell + 1);
const line = (quantity = 1) => ({ items: [{ product_id: product, quantity }] });

test('staff make the catalogue in cell 0, and stock where they say', { skip }, async () => {
  const { user_id } = await done(admin, 'create_user', { name: 'Potter', email: 'potter@example.com', role: 'SELLER' });
  seller = { role: 'web_seller', sub: String(user_id) };
  await done(admin, 'create_seller', { user_id, business_name: 'Kiln', registration_number: '1' });
  ({ product_id: product } = await done(seller, 'create_product', { name: 'mug', price: 1000, stock: units(0) }));
  assert.deepEqual([cellOf(user_id), cellOf(product)], [0, 0]);
  for (const cell of [1, 2]) await until(() => in_cell(cell, `SELECT count(*) FROM commerce_private.stock WHERE product_id = ${product}`) === '1', `the product in cell ${cell}`);
  assert.equal((await call({ ...admin, cell: 1 }, 'create_product', { name: 'cup', price: 1, stock: 1 })).status, 403, 'not in another cell');
  await done({ ...admin, cell: 1 }, 'adjust_stock', { product_id: product, delta: units(1) });
  in_cell(2, `SELECT commerce.adjust_stock(${product}, ${units(2)})`);
  assert.equal(in_cell(1, `SELECT commerce.available_stock(${product})`), String(units(1)));
});

test('who has no token is served by every cell in turn', { skip }, async () => {
  const seen = [];
  for (let i = 0; i < 3; i++) seen.push((await ask(null, `/products?id=eq.${product}&select=stock`)).json[0].stock);
  assert.deepEqual(seen.sort(), cells.map(units));
  assert.equal((await ask(null, '/orders')).status, 401);
});

test('a buyer signs up, charges, orders and reads in the cell of the token', { skip }, async () => {
  for (const cell of cells) {
    let who;
    if (cell < 2) {
      const { user_id } = await done({ ...admin, cell }, 'create_user', { name: 'Buyer', email: `buyer${cell}@example.com` });
      assert.equal(cellOf(user_id), cell);
      who = buyer(user_id);
    } else {
      who = buyer('auth0|kim', { cell });
      assert.equal(in_cell(0, "SELECT commerce.reserve_user('kim@example.com', 'auth0|kim', 2)"), '2');
      const made = await call(who, 'sign_up', { name: 'Kim', email: 'kim@example.com' });
      assert.deepEqual([made.status, cellOf(made.data.id)], [201, cell], made.text);
      assert.deepEqual((await call(who, 'sign_up', { name: 'Kim', email: 'kim@example.com' })).data, made.data);
    }
    const charge = await call(who, 'charge_balance', { amount: 5000 });
    assert.deepEqual([charge.status, cellOf(charge.data.id)], [202, cell], charge.text);
    buyers[cell] = { who, charge: charge.data.id };
    assert.equal((await ask(who, '/rpc/get_balance')).data.balance, 0);
    const placed = await call(who, 'place_order', { ...line(2), payment_method: 'EXTERNAL' });
    assert.deepEqual([placed.status, cellOf(placed.data.id), placed.data.status], [202, cell, 'PENDING_PAYMENT'], placed.text);
    buyers[cell].order = placed.data;
    assert.deepEqual((await ask(who, '/orders?select=id')).json, [{ id: placed.data.id }], 'its own orders');
    assert.equal((await ask(who, `/rpc/get_order?order_id=${placed.data.id}`)).data.id, placed.data.id);
    const sheet = await done(who, 'create_order_sheet', line());
    assert.equal(cellOfSheet(sheet.id), cell);
    assert.deepEqual((await ask(who, `/order_sheets?id=eq.${sheet.id}&select=id`)).json, [{ id: sheet.id }]);
    buyers[cell].sheet = sheet.id;
    assert.equal(in_cell(cell, `SELECT commerce.available_stock(${product})`), String(units(cell) - 2), 'the units are of this cell');
  }
});

test('payment results and staff go to the cell of what they name', { skip }, async () => {
  // cell 2 knows its users, and so its staff, by external ids
  for (const cell of [0, 1]) {
    const { who, charge, order, sheet } = buyers[cell];
    await done(admin, 'confirm_charge', { payment_id: charge, succeeded: true, provider_event_id: `c${charge}` });
    assert.equal((await ask(who, '/rpc/get_balance')).data.balance, 5000);
    const paid = await done(admin, 'confirm_payment', { order_id: String(order.id), succeeded: true, provider_event_id: `p${order.id}` });
    assert.equal(paid.status, 'PAID', 'an id in quotes');
    assert.equal((await ask(admin, `/rpc/get_order?order_id=${order.id}`)).data.status, 'PAID');
    assert.deepEqual((await ask(admin, `/orders?id=eq.${order.id}&select=id,status`)).json, [{ id: order.id, status: 'PAID' }]);
    const items = order.items.map(({ id }) => (cell === 0 ? id : String(id)));
    const parcel = await done(seller, 'dispatch_items', { order_item_ids: items, carrier: 'Post' });
    assert.equal(cellOf(parcel.id), cell);
    assert.deepEqual((await ask(seller, `/seller_orders?id=eq.${order.id}&select=id`)).json, [{ id: order.id }]);
    const user_id = Number(who.sub);
    await done(admin, 'adjust_balance', { user_id: String(user_id), amount: 100, note: 'a gift' });
    const ordered = await done(who, 'place_sheet_order', { order_sheet_id: sheet });
    assert.deepEqual([cellOf(ordered.id), ordered.status], [cell, 'PAID'], 'the order of a sheet');
    assert.equal((await ask(who, '/rpc/get_balance')).data.balance, 4100);
  }
  const other = await call(buyers[0].who, 'cancel_order', { order_id: buyers[1].order.id });
  assert.deepEqual([other.status, other.code], [404, 'ENTITY_NOT_FOUND'], 'a buyer does not get into another cell');
});

test('an e-mail that is taken in another cell', { skip }, async () => {
  // who issues the token asks cell 0 first
  const cell = Number(in_cell(0, "SELECT commerce.reserve_user('KIM@example.com', 'auth0|other', 1)"));
  assert.equal(cell, 2);
  const answer = await call(buyer('auth0|other', { cell }), 'sign_up', { name: 'Other', email: 'KIM@example.com' });
  assert.deepEqual([answer.status, answer.code], [409, 'ALREADY_EXISTS'], answer.text);
  const made = await call({ ...admin, cell: Number(in_cell(0, "SELECT commerce.reserve_user('buyer1@example.com', NULL, 1)")) }, 'create_user', { name: 'Two', email: 'Buyer1@example.com' });
  assert.deepEqual([made.status, made.code], [409, 'ALREADY_EXISTS'], made.text);
});

test('what is nowhere is 404', { skip }, async () => {
  for (const who of [buyer(5e12 + 1), buyer('auth0|kim', { cell: 9 })]) {
    const answer = await ask(who, '/rpc/get_balance');
    assert.deepEqual([answer.status, answer.code, JSON.parse(answer.json.details).entity], [404, 'ENTITY_NOT_FOUND', 'cell']);
  }
  assert.equal((await call(admin, 'cancel_order', { order_id: 5e12 + 1 })).status, 404);
  const there = await call(admin, 'cancel_order', { order_id: 1e12 + 999 });
  assert.deepEqual([there.status, JSON.parse(there.json.details).entity], [404, 'order']);
});

test('a cell is down: its users are told to wait, the others go on, and it comes back', { skip }, async () => {
  const stop = (allow) => sql('postgres', `ALTER DATABASE cell1 ALLOW_CONNECTIONS ${allow}; SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'cell1'`);
  stop(false);
  await until(() => haproxy.output.includes('cell_1/postgrest is DOWN'), 'HAProxy to notice');
  const answer = await call(buyers[1].who, 'place_order', line());
  assert.deepEqual([answer.status, answer.code], [503, 'SERVICE_BUSY'], answer.text);
  assert.equal((await ask(admin, `/rpc/get_order?order_id=${buyers[1].order.id}`)).status, 503);
  assert.equal((await call(buyers[0].who, 'place_order', line())).status, 201);
  assert.equal((await ask(buyers[2].who, '/orders?select=id')).json.length, 1);
  for (let i = 0; i < 4; i++) assert.equal((await ask(null, `/products?id=eq.${product}`)).status, 200);
  stop(true);
  await until(async () => (await call(buyers[1].who, 'place_order', line())).status === 201, 'an order in the cell that is back');
});

test('the books of every cell are in order', { skip }, () => {
  for (const cell of cells) assert.equal(in_cell(cell, 'SELECT * FROM commerce.check_invariants()'), '');
});

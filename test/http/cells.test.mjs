// What deploy/cells/configure makes of a list of cells: HAProxy sends a request to the cell that it is for. The cells here
// are small servers that say which one they are.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { token } from './shop.mjs';

const configure = join(import.meta.dirname, '../../deploy/cells/configure');
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
const folder = mkdtempSync(join(tmpdir(), 'commerce-cells-'));
const list = join(folder, 'cells');
let skip = false;
try { execFileSync('haproxy', ['-v'], { env }); } catch { skip = 'there is no haproxy: scripts/install-packages installs it'; }

const cells = [0, 1, 7];
const servers = new Map();
let child, port, output = '';

async function listen(at, answer) {
  const server = createServer(answer).listen(at, '127.0.0.1');
  await Promise.race([once(server, 'listening'), once(server, 'error').then(([error]) => { throw error; })]);
  return server;
}

// A cell's REST, and health on the next port
async function startCell(number) {
  for (;;) {
    const rest = await listen(0, (request, answer) => { request.resume().on('end', () => answer.setHeader('Content-Type', 'application/json').end(JSON.stringify({ cell: number }))); });
    try {
      const health = await listen(rest.address().port + 1, (request, answer) => answer.end());
      return { at: rest.address().port, rest, health };
    } catch { rest.close(); }
  }
}

before(async () => {
  if (skip) return;
  for (const number of cells) servers.set(number, await startCell(number));
  writeFileSync(list, `# cells\n${cells.map((number) => `${number} 127.0.0.1:${servers.get(number).at} host=/nowhere dbname='my shop' user=shop_app\n`).join('')}9 - host=elsewhere\n`);
  const free = await listen(0);
  port = free.address().port;
  free.close();
  await once(free, 'close');
  writeFileSync(join(folder, 'haproxy.cfg'), execFileSync('perl', [configure, 'haproxy', list, String(port)]).toString()
    .replaceAll('check port', 'check inter 100 fall 1 rise 1 port').replace('\ttimeout queue', '\t# this process answers the checks, too\n\ttimeout check 10s\n\ttimeout queue'));
  child = spawn('haproxy', ['-f', join(folder, 'haproxy.cfg')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { output += data; });
  for (let i = 0; ; i++) {
    try { if ((await ask()).status === 200) return; } catch { /* not yet */ }
    if (i === 300 || child.exitCode !== null) throw new Error(`HAProxy did not start:\n${output}`);
    await new Promise((done) => setTimeout(done, 50));
  }
});

after(() => {
  child?.kill();
  for (const { rest, health } of servers.values()) for (const server of [rest, health]) { server.close(); server.closeAllConnections(); }
  rmSync(folder, { recursive: true, force: true });
});

async function ask({ path = '/orders', claims, body } = {}) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body ? 'POST' : 'GET', body: body && JSON.stringify(body),
    headers: { ...(claims ? { Authorization: `Bearer ${token(claims)}` } : {}), ...(body ? { 'Content-Type': 'application/json' } : {}) },
  });
  return { status: answer.status, ...(await answer.json()) };
}

const cellOf = async (what) => (await ask(what)).cell;
const id = (cell, n = 5) => cell * 1e12 + n;

test('a buyer comes to the cell of the token', { skip }, async () => {
  for (const cell of cells) {
    assert.equal(await cellOf({ claims: { role: 'web_buyer', sub: String(id(cell)) } }), cell, 'sub in digits');
    assert.equal(await cellOf({ claims: { role: 'web_buyer', sub: id(cell, 999999999999) } }), cell, 'sub as a number');
    assert.equal(await cellOf({ claims: { role: 'web_buyer', sub: 'auth0|77aa', cell } }), cell, 'claim cell');
    assert.equal(await cellOf({ claims: { role: 'web_buyer', sub: String(id(1)), cell } }), cell, 'claim cell goes before sub');
  }
  assert.equal(await cellOf({ claims: { role: 'web_buyer', sub: 'auth0|77aa' } }), 0, 'who is known by another name');
  assert.equal(await cellOf({ claims: { role: 'web_buyer', sub: String(id(1)) }, path: '/rpc/cancel_order', body: { order_id: id(7) } }), 1, 'whatever order is named');
});

test('staff come to the cell of what they name', { skip }, async () => {
  for (const role of ['web_admin', 'web_seller']) {
    const claims = { role, sub: '3' };
    for (const key of ['order_id', 'order_item_id', 'shipment_id', 'payment_id', 'coupon_issue_id', 'user_id']) {
      assert.equal(await cellOf({ claims, path: '/rpc/anything', body: { note: 'x', [key]: id(7) } }), 7, `${key} in the body`);
      assert.equal(await cellOf({ claims, path: '/rpc/anything', body: { [key]: String(id(7)) } }), 7, `${key} in quotes`);
      assert.equal(await cellOf({ claims, path: `/rows?${key}=eq.${id(7)}` }), 7, `${key} of rows`);
      assert.equal(await cellOf({ claims, path: `/rpc/anything?${key}=${id(7)}` }), 7, `${key} in the query`);
    }
    assert.equal(await cellOf({ claims, path: '/rpc/dispatch_items', body: { order_item_ids: [id(1), id(1, 6)] } }), 1, 'items');
    assert.equal(await cellOf({ claims, path: '/rpc/dispatch_items', body: { order_item_ids: [String(id(1))] } }), 1, 'items in quotes');
    assert.equal(await cellOf({ claims, path: '/rpc/anything', body: { order_id: 'x' } }), 0, 'what is no id');
    assert.equal(await cellOf({ claims, path: `/orders?select=id&id=eq.${id(1)}` }), 1, 'a row');
    assert.equal(await cellOf({ claims, path: '/rpc/create_product', body: { name: 'cup' } }), 0, 'the catalogue');
    assert.equal(await cellOf({ claims: { ...claims, cell: 7 }, path: '/orders?status=eq.PAID' }), 7, 'a list, of the cell that the token names');
  }
});

test('what is nowhere is 404', { skip }, async () => {
  for (const cell of [2, 9, 8999]) {
    const answer = await ask({ claims: { role: 'web_buyer', sub: String(id(cell)) } });
    assert.deepEqual([answer.status, answer.code, JSON.parse(answer.details)], [404, 'ENTITY_NOT_FOUND', { entity: 'cell', id: cell }]);
  }
  assert.equal((await ask({ claims: { role: 'web_buyer', sub: '1', cell: -1 } })).status, 404);
});

test('who has no token sees every cell in turn', { skip }, async () => {
  const seen = new Set();
  for (let i = 0; i < 6; i++) seen.add(await cellOf({ path: '/products' }));
  assert.deepEqual([...seen].sort(), cells);
});

test('a cell that is down is busy, and nobody else', { skip }, async () => {
  const { rest, health } = servers.get(1);
  for (const server of [rest, health]) { server.close(); server.closeAllConnections(); }
  for (let i = 0; i < 300 && !output.includes('cell_1/postgrest is DOWN'); i++) await new Promise((done) => setTimeout(done, 50));
  const answer = await ask({ claims: { role: 'web_buyer', sub: String(id(1)) } });
  assert.deepEqual([answer.status, answer.code], [503, 'SERVICE_BUSY']);
  assert.equal(await cellOf({ claims: { role: 'web_buyer', sub: String(id(7)) } }), 7);
  for (let i = 0; i < 6; i++) assert.notEqual(await cellOf({ path: '/products' }), 1);
});

test('PgBouncer and the router are told the same', () => {
  writeFileSync(list, "0 - host=/run/a port=5433 dbname=shop sslmode=require\n12 - host=10.0.0.2 dbname='it\\'s' application_name='x\\\\y'\n");
  const made = (what) => execFileSync('perl', [configure, what, list]).toString();
  assert.equal(made('pgbouncer').split('\n').slice(1).join('\n'), "[databases]\nshop_0 = host='/run/a' port='5433' dbname='shop'\nshop_12 = host='10.0.0.2' dbname='it''s'\n");
  assert.deepEqual(JSON.parse(made('router')), [{ number: 0, conninfo: 'host=/run/a port=5433 dbname=shop sslmode=require' }, { number: 12, conninfo: "host=10.0.0.2 dbname='it\\'s' application_name='x\\\\y'" }]);
  writeFileSync(list, "0 - host=a\tuser = shop_app password=secret dbname=shop\n");
  assert.deepEqual(JSON.parse(made('router')), [{ number: 0, conninfo: 'host=a dbname=shop' }], 'who calls is who connects');
  assert.match(made('pgbouncer'), /^shop_0 = host='a' dbname='shop'$/m);
  for (const what of ['pgbouncer', 'router']) for (const wrong of ['postgresql://cell0/shop', 'host=a shop', "host='a", "host=a dbname='b'c"]) {
    writeFileSync(list, `0 - ${wrong}\n`);
    assert.throws(() => execFileSync('perl', [configure, what, list], { stdio: 'pipe' }), wrong);
  }
  for (const wrong of ['1 - host=a\n', '0 - host=a\n0 - host=b\n', '0 host=a\n', '0 - host=a\n9000 - host=b\n']) {
    writeFileSync(list, wrong);
    assert.throws(() => execFileSync('perl', [configure, 'haproxy', list], { stdio: 'pipe' }), wrong);
  }
});

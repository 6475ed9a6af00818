// deploy/haproxy.cfg before PostgREST: the file itself, with other addresses and a certificate made here.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:http2';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { admin, adminUrl, direct, http, newBuyer, newProduct, token, tokenOf } from './shop.mjs';

const deploy = join(import.meta.dirname, '../../deploy');
const configuration = readFileSync(join(deploy, 'haproxy.cfg'), 'utf8');
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
const folder = mkdtempSync(join(tmpdir(), 'commerce-haproxy-'));
const certificate = join(folder, 'shop.pem');
const agent = new Agent({ keepAlive: true, maxSockets: 50 });
const children = [];
let skip = false;
try { execFileSync('haproxy', ['-v'], { env }); } catch { skip = 'there is no haproxy: scripts/install-packages installs it'; }

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function replaced(text, what, by) {
  assert.equal(text.split(what).length, 2, `haproxy.cfg has ${what} once`);
  return text.replace(what, by);
}

// HAProxy with that server behind it; its port
async function haproxy(server, check) {
  const port = await freePort();
  let text = replaced(configuration, 'bind :443 ', `bind 127.0.0.1:${port} `);
  text = replaced(text, '/etc/haproxy/shop.pem', certificate);
  text = replaced(text, 'server postgrest 127.0.0.1:3000 check port 3001', `server postgrest 127.0.0.1:${server} check inter 200 port ${check}`);
  const file = join(folder, `${port}.cfg`);
  writeFileSync(file, text);
  const child = spawn('haproxy', ['-f', file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { output += data; });
  for (let i = 0; i < 300; i++) {
    if (child.exitCode !== null) break;
    try { if ((await ask('/', { port, method: 'HEAD' })).status) return port; } catch { await new Promise((done) => setTimeout(done, 50)); }
  }
  throw new Error(`HAProxy did not start:\n${output}`);
}

let shop;
// from: one of this machine's own addresses; fresh: by a connection of its own
function ask(path, { port = shop, from = '127.0.0.1', method = 'GET', headers = {}, body, who, fresh = false } = {}) {
  return new Promise((done, failed) => {
    const sent = request({
      host: '127.0.0.1', port, path, method, agent: fresh ? false : agent, localAddress: from, ca: readFileSync(certificate), maxHeaderSize: 65536, headers: {
        ...(who ? { Authorization: `Bearer ${tokenOf(who)}` } : {}),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }), ...headers },
    }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('end', () => {
        const bytes = Buffer.concat(chunks);
        let json;
        try { json = JSON.parse(bytes); } catch { /* not JSON */ }
        done({ status: answer.statusCode, headers: answer.headers, bytes, json });
      });
      answer.on('error', failed);
    });
    sent.on('error', failed);
    sent.end(body);
  });
}

// an answer of HAProxy's own is like one of the shop's
function refused(answer, status, code, details) {
  assert.equal(answer.status, status, answer.bytes.toString().slice(0, 300));
  assert.deepEqual(Object.keys(answer.json ?? {}), ['code', 'message', 'details', 'hint'], answer.bytes.toString().slice(0, 300));
  assert.deepEqual([answer.json.code, answer.json.details && JSON.parse(answer.json.details)], [code, details]);
  assert.match(answer.headers['content-type'], /^application\/json/);
  assert.equal(answer.headers['access-control-allow-origin'], '*');
  assert.match(answer.headers['access-control-expose-headers'], /Retry-After/);
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.equal(Boolean(answer.headers['retry-after']), [429, 503].includes(status));
}

before(async () => {
  if (skip) return;
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=shop',
    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', join(folder, 'key'), '-out', join(folder, 'certificate')], { stdio: 'ignore' });
  writeFileSync(certificate, readFileSync(join(folder, 'certificate'), 'utf8') + readFileSync(join(folder, 'key'), 'utf8'));
  shop = await haproxy(new URL(direct).port, new URL(adminUrl).port);
});
after(() => {
  for (const child of children) child.kill();
  agent.destroy();
  rmSync(folder, { recursive: true });
});

const invalid = (argument, reason) => ['INVALID_REQUEST', { argument, reason }];
const nested = (depth) => `/products?limit=1&select=${Array.from({ length: depth }, (_, i) => (i % 2 ? 'products(id,' : 'sellers(id,')).join('')}id${')'.repeat(depth)}`;
const wide = (count) => `/products?limit=1&select=id${Array.from({ length: count }, (_, i) => `,s${i}:sellers(id)`).join('')}`;
const long = (length) => '/products?name=eq.'.padEnd(length, 'x');

test('what is too long, too deep, too wide or no UTF-8 is INVALID_REQUEST', { skip }, async () => {
  for (const [path, reason] of [
    [nested(6), 'nests more than 5 deep'], [encodeURI(nested(6)).replaceAll('(', '%28').replaceAll(')', '%29'), 'nests more than 5 deep'],
    // what is closed beside it hides nothing
    [nested(6).replaceAll('(id,', '(id,a:sellers(id),'), 'nests more than 5 deep'],
    [wide(51), 'has more than 50 parentheses'], [wide(300), 'has more than 50 parentheses'], [long(16385), 'has more than 16384 bytes'],
    ['/products?name=eq.%ff', 'is not UTF-8'], ['/rpc/get_product?product_id=1&limit=0', 'limit and offset are for views'], ['/rpc/get_product?offset=1&product_id=1', 'limit and offset are for views'], ['/%72pc/get_product?product_id=1&limit=0', 'limit and offset are for views']])
    refused(await ask(path), 400, ...invalid('url', reason));
  refused(await ask('/rpc/place_order?limit=0', { method: 'POST', body: '{}' }), 400, ...invalid('url', 'limit and offset are for views'));
  for (const [headers, reason] of [
    [{ Cookie: 'x'.repeat(33000) }, 'have more than 32768 bytes'], [{ Cookie: '\u00e9' }, 'are not ASCII'], [{ Range: '0-0' }, 'Range is for views']])
    refused(await ask('/rpc/get_product?product_id=1', { headers }), 400, ...invalid('headers', reason));
  refused(await ask('/rpc/place_order', { method: 'POST', headers: { 'Transfer-Encoding': 'chunked' } }), 400, ...invalid('headers', 'Content-Length is missing'));
  refused(await ask('/rpc/place_order', { method: 'POST', body: ' '.repeat(81921) }), 413, ...invalid('body', 'has more than 81920 bytes'));
  refused(await ask('/rpc/get_product', { method: 'POST', body: '' }), 400, ...invalid('body', 'must be a JSON object'));
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp'])
    refused(await ask('/rpc/get_product', { method: 'POST', body: '{}', headers: { 'Content-Type': type } }), 415, ...invalid('Content-Type', 'must be application/json'));
  const korean = await ask(wide(51), { headers: { 'Accept-Language': 'ko-KR,ko;q=0.9,en;q=0.8' } });
  assert.equal(korean.json.message, '잘못된 요청입니다.');
});

test('OPTIONS of a view allows what can be done', { skip }, async () => {
  assert.equal((await ask('/products', { method: 'OPTIONS' })).headers.allow, 'OPTIONS, GET, HEAD');
});

test('what is not is let through', { skip }, async () => {
  for (const path of [nested(5), wide(50), long(16384), '/products?name=eq.%EA%B0%80', '/products?name=eq.((((((((', '/rpc/get_product?product_id=1&limited=1',
    '/products?select=id&or=(id.eq.1,and(id.gt.2,or(id.lt.3,and(id.eq.4,name.in.(a,b)))))'])
    assert.ok([200, 404].includes((await ask(path)).status), path);
  const buyer = await newBuyer(0);
  const body = JSON.stringify({ items: [{ product_id: 1, quantity: 1, x: '' }] });
  const largest = await ask('/rpc/place_order', { method: 'POST', who: buyer.who, body: body.replace('""', `"${'x'.repeat(81920 - body.length)}"`) });
  assert.deepEqual([largest.status, largest.json.code, JSON.parse(largest.json.details).argument], [400, 'INVALID_REQUEST', 'items[0].x']);
});

test('a purchase', { skip }, async () => {
  const buyer = await newBuyer();
  const product = await newProduct();
  const order = () => ask('/rpc/place_order', { method: 'POST', who: buyer.who, body: JSON.stringify({ items: [{ product_id: product, quantity: 2 }] }), headers: { 'Idempotency-Key': 'one' } });
  const [first, second] = [await order(), await order()];
  assert.deepEqual([first.status, first.json.data.payment_amount, second.headers['idempotent-replayed']], [201, 20000, 'true']);
  assert.deepEqual(second.json, first.json);
  assert.equal(first.headers['cache-control'], 'no-store');
  const read = await ask(first.headers.location, { who: buyer.who });
  assert.deepEqual([read.status, read.json.data.id, read.headers['cache-control'], read.headers.etag], [200, first.json.data.id, 'no-store', undefined]);
  const refusal = await ask('/rpc/get_balance');
  assert.deepEqual([refusal.status, refusal.headers['www-authenticate'], refusal.headers['cache-control']], [401, 'Bearer', 'no-store']);
});

test('HTTP/2', { skip }, async () => {
  const session = connect(`https://127.0.0.1:${shop}`, { ca: readFileSync(certificate) });
  const stream = session.request({ ':path': '/products?limit=1' });
  const [headers] = await once(stream, 'response');
  assert.deepEqual([headers[':status'], session.alpnProtocol, headers['strict-transport-security']], [200, 'h2', 'max-age=31536000']);
  session.destroy();
});

// What HAProxy refuses by itself counts as well, and is quick.
const counted = (options) => ask('/rpc/get_product?limit=1', options);
async function until429(most, options) {
  const statuses = new Set();
  for (let i = 0; i < 10 * most && !statuses.has(429); i += 50)
    for (const { status } of await Promise.all(Array.from({ length: 50 }, () => counted(options)))) statuses.add(status);
  return [...statuses].sort();
}

test('limits are a token\'s where there is one', { skip }, async () => {
  const [one, two] = ['buyer 1', 'buyer 2'].map((who) => ({ from: '127.0.0.2', headers: { Authorization: `Bearer ${tokenOf(who)}` } }));
  assert.deepEqual(await until429(200, one), [400, 429]);
  refused(await counted(one), 429, 'SERVICE_BUSY', { reason: 'TOO_MANY_REQUESTS' });
  refused(await counted({ ...one, from: '127.0.0.3' }), 429, 'SERVICE_BUSY', { reason: 'TOO_MANY_REQUESTS' });
  assert.equal((await counted({ ...one, headers: { ...one.headers, 'Accept-Language': 'ko' } })).json.message, '잠시 후 다시 시도해 주세요.');
  assert.equal((await counted(two)).status, 400);
  assert.equal((await ask('/products?limit=1', { from: '127.0.0.2' })).status, 200);
});

test('limits are an address\'s where there is no token', { skip }, async () => {
  assert.deepEqual(await until429(1000, { from: '127.0.0.4' }), [400, 429]);
  refused(await ask('/products', { from: '127.0.0.4' }), 429, 'SERVICE_BUSY', { reason: 'TOO_MANY_REQUESTS' });
  assert.equal((await ask('/products?limit=1', { from: '127.0.0.4', who: 'buyer 3' })).status, 200);
  assert.equal((await ask('/products?limit=1', { from: '127.0.0.5' })).status, 200);
});

test('made-up tokens count for the address', { skip }, async () => {
  const from = '127.0.0.6';
  const made_up = (i) => ask('/products?limit=1', { from, headers: { Authorization: `Bearer ${token({ role: 'api_buyer', sub: '1', jti: i }, { key: 'x'.repeat(32) })}` } });
  let last;
  for (let i = 0; i < 1000 && last?.status !== 429; i += 50)
    for (last of await Promise.all(Array.from({ length: 50 }, (_, j) => made_up(i + j)))) assert.ok([401, 429].includes(last.status));
  refused(await made_up('last'), 429, 'SERVICE_BUSY', { reason: 'TOO_MANY_REQUESTS' });
  assert.equal((await ask('/products?limit=1', { from: '127.0.0.7' })).status, 200);
});

test('the catalogue can be kept, by nobody else what a token saw', { skip }, async () => {
  const { json: { paths } } = await http('/', { url: direct });
  const views = Object.keys(paths).filter((path) => !path.startsWith('/rpc/') && path !== '/');
  const open = views.filter((path) => paths[path].get.tags.includes('catalogue'));
  assert.ok(open.includes('/products') && views.length > open.length);
  for (const path of views) {
    const visitor = await ask(path);
    if (open.includes(path)) {
      assert.deepEqual([visitor.status, visitor.headers['cache-control']], [200, 'public, max-age=5'], path);
      assert.match(visitor.headers.etag, /^W\/"[0-9A-F]{40}"$/);
      // also for who asks from another origin while this is kept of one who did not
      assert.equal(visitor.headers['access-control-allow-origin'], '*');
      assert.match(visitor.headers.vary, /Authorization/);
      const again = await ask(path, { headers: { 'If-None-Match': visitor.headers.etag } });
      assert.deepEqual([again.status, again.bytes.length, again.headers.etag, again.headers['cache-control']], [304, 0, visitor.headers.etag, 'public, max-age=5']);
      assert.equal((await ask(path, { headers: { 'If-None-Match': 'W/"0"' } })).status, 200);
    } else assert.deepEqual([visitor.status, visitor.headers['cache-control'], visitor.headers.etag], [401, 'no-store', undefined], path);
    const known = await ask(path, { who: admin, headers: { 'If-None-Match': visitor.headers.etag ?? 'W/"0"' } });
    assert.ok(known.status < 500 && known.status !== 304, path);
    assert.deepEqual([known.headers['cache-control'], known.headers.etag], ['no-store', undefined], path);
  }
  const product = await newProduct();
  const path = `/rpc/get_product?product_id=${product}`;
  const { etag } = (await ask(path)).headers;
  assert.equal((await ask(path, { headers: { 'If-None-Match': etag } })).status, 304);
  assert.equal((await ask('/rpc/set_product_status', { method: 'POST', who: admin, body: JSON.stringify({ product_id: product, status: 'DISCONTINUED' }) })).status, 200);
  assert.equal((await ask(path, { headers: { 'If-None-Match': etag } })).status, 404);
  assert.match((await ask('/rpc/operator', { headers: { Accept: 'text/html' } })).headers['cache-control'], /no-store/);
});

test('answers are compressed for who can read that', { skip }, async () => {
  const plain = await ask('/order_item_transitions');
  const packed = await ask('/order_item_transitions', { headers: { 'Accept-Encoding': 'gzip' } });
  assert.deepEqual([plain.headers['content-encoding'], packed.headers['content-encoding'], packed.headers.etag], [undefined, 'gzip', plain.headers.etag]);
  assert.match(packed.headers.vary, /Accept-Encoding/);
  assert.deepEqual(JSON.parse(gunzipSync(packed.bytes)), plain.json);
});

test('as many requests at once as PostgREST has connections; who waits too long is told so', { skip }, async (t) => {
  const [, most] = configuration.match(/ maxconn (\d+)$/m);
  assert.match(readFileSync(join(deploy, 'postgrest.conf'), 'utf8'), new RegExp(`^db-pool = ${most}$`, 'm'));
  const waiting = [];
  const server = createServer((asked, answer) => {
    if (['/', '/ready'].includes(asked.url)) answer.end();
    else if (asked.url === '/dies') asked.socket.destroy();
    else waiting.push(answer);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const end = () => { server.closeAllConnections(); server.close(); };
  t.after(end);
  const port = await haproxy(server.address().port, server.address().port);
  refused(await ask('/dies', { port, fresh: true }), 502, 'INTERNAL_SERVER_ERROR', null);
  const held = Array.from({ length: Number(most) }, () => ask('/held', { port, method: 'POST', body: '{}' }));
  while (waiting.length < held.length) await new Promise((done) => setTimeout(done, 20));
  refused(await ask('/late', { port, fresh: true }), 429, 'SERVICE_BUSY', null);
  assert.equal(waiting.length, held.length);
  for (const answer of waiting) answer.end('done');
  assert.deepEqual([...new Set((await Promise.all(held)).map((answer) => answer.status))], [200]);
  end();
  let down;
  do down = await ask('/', { port, fresh: true }); while (down.status !== 503);
  refused(down, 503, 'SERVICE_BUSY', null);
});

test('the database pages what nobody pages, and compiles nothing', async () => {
  assert.equal((await http('/users', { who: admin, url: direct })).json.length, 1000);
  // as deploy/roles.sql says
  assert.equal((await http(wide(300).replace('limit=1&', ''), { url: direct })).status, 200);
});

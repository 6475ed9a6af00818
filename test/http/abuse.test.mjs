// What a hostile or careless client sends: the right status, no 500, and nothing changed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { direct, http, newBuyer, newProduct, token } from './shop.mjs';

const post = (path, body, headers = {}, who) => http(path, { who, method: 'POST', body, headers, url: direct });
const bearer = (value) => ({ Authorization: `Bearer ${value}` });

const buyer = await newBuyer();
const product = await newProduct();
const line = { product_id: product, quantity: 1 };

test('bodies that are no JSON, or no object', async (t) => {
  for (const body of ['', '{', '{"amount":', '[]', '5', 'null', '"x"', 'true', '{"amount":1}{}', '\u0000', '<amount/>', '{"amount":1e400}', '{"amount":"\\u0000"}', '{"amount":"\\ud800"}'])
    assert.equal((await post('/rpc/charge_balance', body, {}, buyer.who)).status, 400, body);
});

test('wrong types, missing and extra keys', async () => {
  for (const body of [{}, { amount: '1 00' }, { amount: '100.0' }, { amount: null }, { amount: 1.5 }, { amount: [100] }, { amount: {} }, { amount: true }, { amount: 1e300 },
    { amount: 100, extra: 1 }, { Amount: 100 }, { amount: 100, idempotency_key: 'k' }, { '': 1 }, { amount: 100, __proto__: null, constructor: 1 }]) {
    const answer = await post('/rpc/charge_balance', body, {}, buyer.who);
    assert.deepEqual([answer.status, answer.code], [400, 'INVALID_REQUEST'], JSON.stringify(body));
  }
  for (const items of [[], {}, 'x', 5, null, [5], [[]], [{}], [{ ...line, quantity: -1 }], [{ ...line, quantity: 'one' }], [{ ...line, x: 1 }], [{ product_id: product }], Array(1001).fill(line)]) {
    const answer = await post('/rpc/place_order', { items }, {}, buyer.who);
    assert.deepEqual([answer.status, answer.code], [400, 'INVALID_REQUEST'], JSON.stringify(items).slice(0, 100));
  }
});

test('numbers at the edges', async () => {
  for (const quantity of ['9223372036854775807', '9223372036854775808', '1e18', '0.1', '-0', '1e-1']) {
    const answer = await post('/rpc/place_order', `{"items":[{"product_id":${product},"quantity":${quantity}}]}`, {}, buyer.who);
    assert.ok([400, 409].includes(answer.status), `${quantity}: ${answer.status} ${answer.text}`);
  }
  assert.equal((await post('/rpc/place_order', { items: [line], coupon_issue_ids: Array(5000).fill(1) }, {}, buyer.who)).status < 500, true);
});

test('SQL in strings stays a string', async () => {
  for (const text of ["'; DROP TABLE commerce.orders; --", '$1', '%s %n', '\\', "' OR '1'='1", '${7*7}', '🛒'.repeat(100)]) {
    assert.ok((await post('/rpc/change_item_status', { order_item_id: 1, new_status: text }, {}, buyer.who)).status === 400, text);
    assert.equal((await post('/rpc/charge_balance', { amount: 100 }, { 'Idempotency-Key': encodeURIComponent(text).slice(0, 200) }, buyer.who)).status, 200);
    const read = await http(`/products?name=eq.${encodeURIComponent(text)}`, { url: direct });
    assert.deepEqual([read.status, read.json], [200, []]);
    assert.equal((await http(`/rpc/get_product?product_id=${encodeURIComponent(text)}`, { url: direct })).status, 400);
  }
});

test('keys of idempotency that are too long or empty', async () => {
  assert.equal((await post('/rpc/charge_balance', { amount: 100 }, { 'Idempotency-Key': 'k'.repeat(256) }, buyer.who)).status, 400);
  assert.equal((await post('/rpc/charge_balance', { amount: 100 }, { 'Idempotency-Key': 'k'.repeat(255) }, buyer.who)).status, 200);
});

test('tokens that are not good', async () => {
  const past = Math.floor(Date.now() / 1000) - 3600;
  for (const [what, value] of [
    ['expired', token({ role: 'api_buyer', sub: String(buyer.id), exp: past })],
    ['of another key', token({ role: 'api_buyer', sub: String(buyer.id) }, { key: 'x'.repeat(32) })],
    ['unsigned', token({ role: 'api_buyer', sub: String(buyer.id) }, { alg: 'none' })],
    ['garbage', 'x.y.z'], ['empty', ''], ['one part', 'abc'],
    ['not valid yet', token({ role: 'api_buyer', sub: String(buyer.id), nbf: past + 7200 })]]) {
    const answer = await post('/rpc/charge_balance', { amount: 100 }, bearer(value));
    assert.equal(answer.status, 401, `${what}: ${answer.text}`);
  }
});

test('tokens without a role, a user, or with a foreign role', async () => {
  for (const [claims, status, code] of [
    [{ sub: String(buyer.id) }, 401, 'UNAUTHENTICATED'], [{ role: 'api_buyer' }, 401, 'UNAUTHENTICATED'],
    [{ role: 'api_buyer', sub: 'somebody' }, 401, 'UNAUTHENTICATED'], [{ role: 'api_buyer', sub: '999999999' }, 401, 'UNAUTHENTICATED'],
    [{ role: 'api_buyer', sub: '0' }, 401, 'UNAUTHENTICATED'], [{ role: 'api_buyer', sub: `${buyer.id}; DROP` }, 401, 'UNAUTHENTICATED'],
    [{ role: 'api_anon', sub: String(buyer.id) }, 401, 'UNAUTHENTICATED'],
    [{ role: 'api_seller', sub: String(buyer.id) }, 403, 'FORBIDDEN'], [{ role: 'api_admin', sub: String(buyer.id) }, 403, 'FORBIDDEN']]) {
    const answer = await post('/rpc/charge_balance', { amount: 100 }, bearer(token(claims)));
    assert.deepEqual([answer.status, answer.code], [status, code], JSON.stringify(claims));
    if (status === 401) assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
  }
  for (const role of ['postgres', 'authenticator', 'no_such_role', 'shop']) {
    const answer = await post('/rpc/charge_balance', { amount: 100 }, bearer(token({ role, sub: String(buyer.id) })));
    assert.ok(answer.status >= 400 && answer.status < 500, `${role}: ${answer.status} ${answer.text}`);
  }
});

test('claims that PostgreSQL cannot read', async () => {
  const claims = bearer(token({ role: 'api_buyer', sub: String(buyer.id), x: '\u0000' }));
  for (const [method, path] of [['GET', '/rpc/get_balance'], ['POST', '/rpc/charge_balance']]) {
    const answer = await http(path, { method, headers: claims, body: method === 'POST' ? { amount: 100 } : undefined, url: direct });
    assert.deepEqual([answer.status, answer.code], [401, 'UNAUTHENTICATED'], `${method} ${path}: ${answer.text}`);
  }
  assert.deepEqual((await http('/users', { headers: claims, url: direct })).json, []);
});

test('methods and paths that are not there', async () => {
  for (const [method, path, status] of [
    ['GET', '/rpc/place_order', [404, 405]], ['PUT', '/rpc/place_order', [404, 405]], ['DELETE', '/rpc/place_order', [404, 405]],
    ['POST', '/rpc/no_such_function', [404]], ['GET', '/no_such_view', [404]], ['GET', '/users', [401]], ['POST', '/rpc/place_order?x=1', [400, 401, 404]],
    ['GET', '/products?no_such_column=eq.1', [400]], ['GET', '/products?id=eq.x', [400]], ['GET', '/products?select=*,orders(*)', [400]], ['GET', '/products?limit=-1', [400, 416]]]) {
    const answer = await http(path, { method, url: direct, body: method === 'GET' ? undefined : {} });
    assert.ok(status.includes(answer.status), `${method} ${path}: ${answer.status} ${answer.text.slice(0, 200)}`);
  }
  const read = await http('/rpc/charge_balance', { who: buyer.who, url: direct });
  assert.ok([404, 405].includes(read.status));
});

test('other content types', async () => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/octet-stream', 'text/xml', 'nonsense']) {
    const answer = await http('/rpc/charge_balance', { who: buyer.who, method: 'POST', url: direct, body: 'amount=100', headers: { 'Content-Type': type } });
    assert.ok(answer.status >= 400 && answer.status < 500, `${type}: ${answer.status} ${answer.text}`);
  }
});

test('huge and deep bodies', async () => {
  const balance = async () => (await http('/rpc/get_balance', { who: buyer.who, url: direct })).data.balance;
  const before = await balance();
  const huge = await post('/rpc/charge_balance', `{"amount": 100, "x": "${'a'.repeat(20e6)}"}`, {}, buyer.who);
  assert.ok(huge.status >= 400 && huge.status < 500, `${huge.status} ${huge.text.slice(0, 200)}`);
  // the last is as deep as the proxy of deploy/haproxy.cfg lets through
  for (const depth of [1000, 5000, 40000]) {
    const deep = await post('/rpc/place_order', `{"items": ${'['.repeat(depth)}${']'.repeat(depth)}}`, {}, buyer.who);
    assert.equal(deep.status, 400, deep.text.slice(0, 200));
  }
  const keys = Object.fromEntries(Array.from({ length: 20000 }, (_, i) => [`k${i}`, i]));
  assert.equal((await post('/rpc/charge_balance', keys, {}, buyer.who)).status, 400);
  assert.equal(await balance(), before);
});

// What is refused, and what a front-end is told to go on with: details are data, sentences are in the request's language.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { admin, call, direct, http, newBuyer, newCoupon, newProduct } from './shop.mjs';

const buyer = await newBuyer(100000);
const mug = await newProduct({ stock: 3 });
const cup = await newProduct({ stock: 100 });
const line = (product_id, quantity = 1, more = {}) => ({ product_id, quantity, ...more });
const order = (items, more = {}, who = buyer.who) => call(who, 'place_order', { items, ...more });
const claim = async (coupon_id, who = buyer.who) => (await call(who, 'claim_coupon', { coupon_id })).data.id;

function refused(answer, status, code, details) {
  assert.deepEqual([answer.status, answer.code], [status, code], answer.text);
  const given = JSON.parse(answer.json.details);
  assert.deepEqual(given, details);
}

test('a line that is short, that is over a limit, that is not on sale', async () => {
  refused(await order([line(cup), line(mug, 5)]), 409, 'STOCK_NOT_ENOUGH', { index: 1, product_id: mug, asked: 5, available: 3 });
  refused(await order([line(cup), line(mug, 2), line(mug, 2)]), 409, 'STOCK_NOT_ENOUGH', { index: 1, product_id: mug, asked: 4, available: 3 });
  const few = await newProduct({ max_per_order: 2, max_per_user: 3 });
  refused(await order([line(mug), line(cup), line(few, 3)]), 409, 'PURCHASE_LIMIT_EXCEEDED', { index: 2, product_id: few, asked: 3, limit: 2 });
  assert.equal((await order([line(few, 2)])).status, 201);
  refused(await order([line(cup), line(few, 2)]), 409, 'PURCHASE_LIMIT_EXCEEDED', { index: 1, product_id: few, asked: 2, limit: 3, counted: 2 });
  await call(admin, 'set_product_status', { product_id: few, status: 'DISCONTINUED' });
  refused(await order([line(cup), line(few)]), 409, 'PRODUCT_NOT_ON_SALE', { index: 1, product_id: few });
  refused(await order([line(cup, 50)]), 409, 'BALANCE_NOT_ENOUGH', { user_id: buyer.id, asked: 500000, balance: 80000 });
});

test('an unpaid order of one\'s own that holds the units, and the coupon', async () => {
  const last = await newProduct({ stock: 1 });
  const coupon = await claim(await newCoupon());
  const pending = await order([line(last)], { payment_method: 'EXTERNAL', coupon_issue_ids: [coupon] });
  assert.equal(pending.status, 202, pending.text);
  refused(await order([line(last)]), 409, 'STOCK_NOT_ENOUGH', { index: 0, product_id: last, asked: 1, available: 0, own_order_id: pending.data.id });
  refused(await order([line(cup)], { coupon_issue_ids: [coupon] }), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: coupon, reason: 'HELD', own_order_id: pending.data.id });
  assert.equal((await call(buyer.who, 'cancel_order', { order_id: pending.data.id })).status, 200);
});

test('a coupon that cannot be used, and why', async () => {
  const [coupon, second, big, one] = [await claim(await newCoupon()), await claim(await newCoupon()),
    await claim(await newCoupon({ min_order_amount: 50000 })), await claim(await newCoupon({ product_id: mug }))];
  const use = (items, ...coupon_issue_ids) => order(items, { coupon_issue_ids });
  refused(await use([line(cup)], coupon, coupon), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: coupon, reason: 'NAMED_TWICE' });
  refused(await use([line(cup)], coupon, second), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: second, reason: 'NOT_TOGETHER' });
  refused(await use([line(cup)], 999999), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: 999999, reason: 'NOT_OWN' });
  refused(await use([line(mug)], one), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: one, reason: 'FOR_A_LINE' });
  refused(await order([line(cup, 1, { coupon_issue_id: one })]), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: one, reason: 'OTHER_PRODUCT' });
  refused(await order([line(cup, 1, { coupon_issue_id: coupon })]), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: coupon, reason: 'FOR_THE_ORDER' });
  refused(await use([line(cup, 2)], big), 409, 'COUPON_CONDITION_NOT_MET', { coupon_issue_id: big, min_order_amount: 50000, amount: 20000, reason: 'BELOW_MINIMUM' });
  await call(admin, 'revoke_coupon', { coupon_issue_id: second });
  refused(await use([line(cup)], second), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: second, reason: 'REVOKED' });
  assert.equal((await use([line(cup)], coupon)).status, 201);
  refused(await use([line(cup)], coupon), 409, 'COUPON_NOT_USABLE', { coupon_issue_id: coupon, reason: 'USED' });
});

test('a coupon that cannot be claimed, and when it can', async () => {
  const soon = await newCoupon({ issue_from: '2098-12-01T00:00:00Z' });
  refused(await call(buyer.who, 'claim_coupon', { coupon_id: soon }), 409, 'COUPON_NOT_CLAIMABLE', { coupon_id: soon, reason: 'NOT_BEGUN', issue_from: '2098-12-01T00:00:00+00:00' });
  const given = await newCoupon({ claimable: false });
  refused(await call(buyer.who, 'claim_coupon', { coupon_id: given }), 409, 'COUPON_NOT_CLAIMABLE', { coupon_id: given, reason: 'GIVEN_OUT' });
  const stopped = await newCoupon();
  const own = await claim(stopped);
  refused(await call(buyer.who, 'claim_coupon', { coupon_id: stopped }), 409, 'COUPON_ALREADY_CLAIMED', { coupon_id: stopped, coupon_issue_id: own });
  await call(admin, 'stop_coupon', { coupon_id: stopped });
  refused(await call((await newBuyer(0)).who, 'claim_coupon', { coupon_id: stopped }), 409, 'COUPON_NOT_CLAIMABLE', { coupon_id: stopped, reason: 'STOPPED' });
});

test('a sheet that was used', async () => {
  const sheet = (await call(buyer.who, 'create_order_sheet', { items: [line(cup)] })).data.id;
  const made = await call(buyer.who, 'place_sheet_order', { order_sheet_id: sheet });
  refused(await call(buyer.who, 'place_sheet_order', { order_sheet_id: sheet }), 409, 'ORDER_SHEET_USED', { order_sheet_id: sheet, order_id: made.data.id });
});

test('sentences are in the language of the request', async () => {
  const ask = async (accept) => (await call((await newBuyer(0)).who, 'place_order', { items: [line(cup)], coupon_issue_ids: [1, 1] }, accept === undefined ? {} : { 'Accept-Language': accept })).json;
  for (const [accept, message, hint] of [
    ['ko-KR,ko;q=0.9,en;q=0.8', '사용할 수 없는 쿠폰입니다.', '같은 쿠폰이 두 번 지정되었습니다.'], ['en-US,ko;q=0.9', 'coupon cannot be used', 'The coupon is named twice.'],
    ['en;q=0.5, ko;q=0.6', '사용할 수 없는 쿠폰입니다.', '같은 쿠폰이 두 번 지정되었습니다.'], ['fr', 'coupon cannot be used', 'The coupon is named twice.'], ['', 'coupon cannot be used', 'The coupon is named twice.'],
    [undefined, 'coupon cannot be used', 'The coupon is named twice.']]) {
    const { message: told, hint: sentence, details } = await ask(accept);
    assert.deepEqual([told, sentence, JSON.parse(details).reason], [message, hint, 'NAMED_TWICE'], String(accept));
  }
  const stranger = await call(undefined, 'place_order', { items: [line(cup)] }, { 'Accept-Language': 'ko' });
  assert.deepEqual([stranger.status, stranger.json.message, stranger.json.hint], [401, '인증이 필요합니다.', '요청에 토큰이 없거나, 토큰에 역할(role), 대상(aud) 또는 사용자(sub)가 없습니다.']);
});

test('what PostgreSQL would say of a malformed value', async () => {
  const id = await http('/rpc/get_order?order_id=99999999999999999999', { who: buyer.who, headers: { 'Accept-Language': 'ko' } });
  assert.deepEqual([id.status, id.json.message, JSON.parse(id.json.details)], [400, '잘못된 요청입니다.', { argument: 'order_id', reason: 'must be a whole number' }]);
  const uuid = await call(buyer.who, 'place_sheet_order', { order_sheet_id: 'x' });
  refused(uuid, 400, 'INVALID_REQUEST', { argument: 'order_sheet_id', reason: 'is malformed' });
});

test('what somebody else holds for too long is busy, and why', async () => {
  const holder = await newBuyer();
  const other = spawn('psql', ['-XqAt'], { stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    other.stdin.write(`BEGIN; SELECT id FROM commerce.users WHERE id = ${holder.id} FOR UPDATE;\n`);
    await once(other.stdout, 'data');
    const answer = await call(holder.who, 'charge_balance', { amount: 100 }, { 'Accept-Language': 'ko' });
    refused(answer, 429, 'SERVICE_BUSY', { reason: 'LOCK_TIMEOUT' });
    assert.equal(answer.headers.get('retry-after'), '1');
    assert.equal(answer.json.hint, '다른 요청의 처리를 기다리다 시간이 초과되었습니다.');
  } finally {
    other.stdin.end();
  }
});

test('HEAD is what GET is', async () => {
  for (const [path, who, status] of [['/rpc/get_balance', undefined, 401], ['/rpc/get_balance', buyer.who, 200], ['/rpc/get_product?product_id=999999', undefined, 404],
    [`/rpc/get_product?product_id=${cup}`, undefined, 200], ['/rpc/get_order?order_id=999999', buyer.who, 404], ['/rpc/check_invariants', buyer.who, 403], ['/rpc/charge_balance', buyer.who, 404], ['/rpc/get_product?product_id=x', undefined, 400],
    ['/products', undefined, 200]]) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await http(path, { who, method, url: direct });
      assert.equal(answer.status, status, `${method} ${path}`);
      if (method === 'HEAD') assert.equal(answer.text, '');
    }
  }
});

test('a function is called as a whole, or not at all', async () => {
  const balance = async () => (await http('/rpc/get_balance', { who: buyer.who, url: direct })).data.balance;
  const before = await balance();
  for (const query of ['offset=1', 'offset=1&limit=5', 'limit=1&offset=1000'])
    refused(await http(`/rpc/charge_balance?${query}`, { who: buyer.who, method: 'POST', body: { amount: 100 }, url: direct }), 400, 'INVALID_REQUEST', { argument: 'offset', reason: 'is for views' });
  refused(await http('/rpc/get_balance?offset=1', { who: buyer.who, url: direct }), 400, 'INVALID_REQUEST', { argument: 'offset', reason: 'is for views' });
  refused(await http('/rpc/get_balance', { who: buyer.who, headers: { Range: '1-2' }, url: direct }), 400, 'INVALID_REQUEST', { argument: 'offset', reason: 'is for views' });
  for (const condition of ['is.null', 'not.is.null'])
    refused(await http(`/rpc/charge_balance?pgrst_scalar=${condition}`, { who: buyer.who, method: 'POST', body: { amount: 100 }, url: direct }), 400, 'INVALID_REQUEST', { argument: 'pgrst_scalar', reason: 'is for views' });
  refused(await http('/rpc/get_balance?pgrst_scalar=is.null', { who: buyer.who, url: direct }), 400, 'INVALID_REQUEST', { argument: 'pgrst_scalar', reason: 'is for views' });
  // PostgreSQL calls nothing of which no row is wanted
  const nothing = await http('/rpc/charge_balance?limit=0', { who: buyer.who, method: 'POST', body: { amount: 100 }, url: direct });
  assert.deepEqual([nothing.status, nothing.text], [200, 'null']);
  for (const body of ['', ' ']) {
    const answer = await http('/rpc/charge_balance', { who: buyer.who, method: 'POST', body, headers: { 'Content-Type': 'application/json' }, url: direct });
    assert.equal(answer.status, 400, answer.text);
  }
  assert.equal(await balance(), before);
  // 0 is no offset
  assert.equal((await http('/rpc/charge_balance?offset=0&limit=1', { who: buyer.who, method: 'POST', body: { amount: 100 }, url: direct })).status, 200);
  assert.equal(await balance(), before + 100);
});

// Times: in requests with an offset, or the shop's; in answers of one form, wherever they come from.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admin, call, client, direct, http, newBuyer, newProduct, newSeller } from './shop.mjs';

const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00$/;
const seller = await newSeller();
const product = await newProduct({ seller_id: seller.sellerId });
const buyer = await newBuyer();

const promote = (starts_at, ends_at) => call(seller.who, 'create_promotion', { product_id: product, kind: 'FIXED', value: 1, starts_at, ends_at });

test('a time without an offset is the shop\'s, not the server\'s', async () => {
  assert.equal((await promote('2098-12-01T00:00:00', '2099-01-01')).status, 201);
  const { data } = await client(seller.who).from('promotions').select('starts_at,ends_at').order('id', { ascending: false }).limit(1);
  assert.deepEqual(data, [{ starts_at: '2098-11-30T15:00:00+00:00', ends_at: '2098-12-31T15:00:00+00:00' }]);
});

test('what is no moment is refused', async () => {
  for (const time of ['tomorrow', 'infinity', '-infinity', 'now', 'epoch', '10000-01-01T00:00:00Z', '0044-03-15 BC', '2026-02-30T00:00:00Z', '01.12.2098', 1796083200, true, {}]) {
    const answer = await promote('2098-12-01T00:00:00Z', time);
    assert.deepEqual([answer.status, answer.code], [400, 'INVALID_REQUEST'], `${JSON.stringify(time)}: ${answer.text}`);
    assert.equal(JSON.parse(answer.json.details).argument, 'ends_at');
  }
  for (const day of ['today', '2026-12-01T00:00:00Z', '1.12.2026', 'infinity'])
    assert.deepEqual(JSON.parse((await http(`/rpc/sales_report?from_date=${day}&to_date=2026-12-01`, { who: seller.who })).json.details).argument, 'from_date');
});

test('so it is where a view is filtered', async () => {
  const { starts_at } = (await http('/promotions?order=id.desc&limit=1', { who: seller.who })).json[0];
  const found = async (filter) => (await http(`/promotions?product_id=eq.${product}&starts_at=${encodeURIComponent(filter)}`, { who: seller.who })).json.length;
  assert.equal(await found(`eq.${starts_at}`), 1);
  for (const [filter, count] of [['gte.2098-12-01T00:00:00', 1], ['gt.2098-12-01T00:00:00', 0], ['eq.2098-12-01', 1], ['eq.2098-12-01T00:00:00Z', 0], ['in.(2098-12-01,2098-12-02)', 1], ['is.null', 0], ['not.is.null', 1]])
    assert.equal(await found(filter), count, filter);
  for (const filter of ['gte.tomorrow', 'lt.infinity', 'eq.', 'in.(now)']) {
    const answer = await http(`/promotions?starts_at=${filter}`, { who: seller.who, url: direct });
    assert.deepEqual([answer.status, answer.code], [400, 'INVALID_REQUEST'], `${filter}: ${answer.text}`);
  }
});

test('a view, a function and an event tell the same of one order', async () => {
  const order = (await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }] })).data;
  const viewed = (await http(`/orders?id=eq.${order.id}&select=created_at,paid_at,order_items(order_item_events(at)),payments(at)`, { who: buyer.who })).json[0];
  const whole = (await http(`/rpc/get_order?order_id=${order.id}`, { who: buyer.who })).data;
  assert.match(order.created_at, form);
  assert.deepEqual([viewed.created_at, viewed.paid_at], [order.created_at, order.paid_at]);
  assert.deepEqual([whole.created_at, whole.paid_at], [order.created_at, order.paid_at]);
  assert.match(viewed.order_items[0].order_item_events[0].at, form);
  assert.equal(viewed.order_items[0].order_item_events[0].at, whole.items[0].history[0].at);
  assert.match(viewed.payments[0].at, form);
  assert.equal((await http('/seller_orders', { who: seller.who })).json.at(-1).created_at, order.created_at);
});

test('every time of every view and document has that form', async () => {
  const wrong = [];
  const look = (value, path) => {
    if (typeof value === 'string' && /^(\d{4}-\d\d-\d\d|\d\d[./]\d\d[./]\d{4})/.test(value) && !form.test(value)) wrong.push(`${path}: ${value}`);
    else if (value && typeof value === 'object') for (const [key, member] of Object.entries(value)) look(member, `${path}.${key}`);
  };
  const { data: { items } } = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }] });
  const parcel = (await call(seller.who, 'dispatch_items', { order_item_ids: [items[0].id], carrier: 'Post', tracking_number: '1' })).data;
  assert.equal((await call(seller.who, 'change_shipment_status', { shipment_id: parcel.id, new_status: 'DELIVERED' })).status, 200);
  const { paths } = (await http('/', { headers: { Accept: 'application/openapi+json' }, url: direct })).json;
  const views = Object.keys(paths).filter((path) => path !== '/' && !path.startsWith('/rpc/'));
  assert.ok(views.length > 20);
  for (const who of [admin, seller.who]) for (const view of views) look((await http(view, { who, url: direct })).json, view);
  for (const name of ['export_user', 'balance_statement']) look((await http(`/rpc/${name}`, { who: buyer.who })).json, name);
  assert.deepEqual(wrong, []);
});

test('a client may ask for another zone, and gets the same form', async () => {
  const answer = await http('/products?limit=1', { headers: { Prefer: 'timezone=Asia/Kathmandu' } });
  assert.match(answer.json[0].created_at, form);
});

// The shop as a front end uses it: every role's work, by the ecosystem's own client and by plain fetch.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admin, call, client, http, newBuyer, newCoupon, newProduct, newSeller, token, validated, base, direct } from './shop.mjs';

test('a visitor reads the catalogue', async () => {
  const id = await newProduct({ name: 'visitor mug', price: 12000, discount: 2000, category: 'kitchen' });
  const { data, error } = await client().from('products').select('id,name,price,price_now,stock,status').eq('id', id).single();
  assert.equal(error, null);
  assert.deepEqual(data, { id, name: 'visitor mug', price: 12000, price_now: 10000, stock: 100, status: 'ON_SALE' });
});

test('filters, ordering and pages are PostgREST\'s', async () => {
  const seller = await newSeller();
  for (const price of [300, 100, 200]) await newProduct({ price, seller_id: seller.sellerId });
  const mine = () => client().from('products').select('price', { count: 'exact' }).eq('seller_id', seller.sellerId);
  assert.deepEqual((await mine().order('price')).data.map((p) => p.price), [100, 200, 300]);
  assert.deepEqual((await mine().gt('price', 150).order('price', { ascending: false })).data.map((p) => p.price), [300, 200]);
  const page = await mine().order('price').range(1, 1);
  assert.deepEqual([page.data.map((p) => p.price), page.count, page.status], [[200], 3, 206]);
  assert.equal((await http(`/products?seller_id=eq.${seller.sellerId}&limit=2`)).headers.get('content-range'), '0-1/*');
});

test('promotions that run: the price, and until when', async () => {
  const seller = await newSeller();
  const id = await newProduct({ name: 'promoted', price: 10000, discount: 500, seller_id: seller.sellerId });
  const promote = async (value, starts_at, ends_at, kind = 'PERCENT') => (await call(admin, 'create_promotion', { product_id: id, kind, value, starts_at, ends_at })).data.promotion_id;
  const running = await promote(10, '2020-01-01T00:00:00Z', '2099-01-01T00:00:00Z');
  const small = await promote(100, '2020-01-01T00:00:00Z', '2098-01-01T00:00:00Z', 'FIXED');
  const later = await promote(20, '2097-01-01T00:00:00Z', '2098-01-01T00:00:00Z');
  const ended = await promote(30, '2020-01-01T00:00:00Z', '2099-01-01T00:00:00Z');
  assert.equal((await call(seller.who, 'end_promotion', { promotion_id: ended })).status, 200);
  const read = async (who) => (await client(who).from('promotions').select('id,price,ends_at,products(name,price_now)').eq('product_id', id).order('id')).data;
  assert.deepEqual((await read()).map((p) => [p.id, p.price, p.products]), [[running, 9000, { name: 'promoted', price_now: 9000 }], [small, 9500, { name: 'promoted', price_now: 9000 }]]);
  assert.ok((await read())[0].ends_at.startsWith('2099-01-01'));
  const product = await client().from('products').select('name,price_now,promotions(id,value)').eq('id', id).order('id', { referencedTable: 'promotions' }).single();
  assert.deepEqual(product.data, { name: 'promoted', price_now: 9000, promotions: [{ id: running, value: 10 }, { id: small, value: 100 }] });
  assert.deepEqual((await read(seller.who)).map((p) => p.id), [running, small, later, ended]);
  assert.deepEqual((await read((await newSeller()).who)).map((p) => p.id), []);
  await call(admin, 'set_product_status', { product_id: id, status: 'DISCONTINUED' });
  assert.deepEqual(await read(), []);
  assert.equal((await read(seller.who)).length, 4);
});

test('categories, and how many products each has', async () => {
  const seller = await newSeller();
  const category = `category ${seller.id}`;
  const [one, two] = [await newProduct({ category }), await newProduct({ category, stock: 0 })];
  await newProduct({ category, seller_id: seller.sellerId });
  const count = async (who) => (await client(who).from('categories').select('category,products').eq('category', category)).data;
  for (const who of [undefined, seller.who, admin]) assert.deepEqual(await count(who), [{ category, products: 3 }]);
  assert.equal((await http(`/products?category=eq.${encodeURIComponent(category)}`)).json.length, 3);
  await call(admin, 'set_user_status', { user_id: seller.id, status: 'SUSPENDED' });
  await call(admin, 'set_product_status', { product_id: two, status: 'DISCONTINUED' });
  assert.deepEqual(await count(), [{ category, products: 1 }]);
  assert.deepEqual((await http(`/products?category=eq.${encodeURIComponent(category)}&select=id`)).json, [{ id: one }]);
});

test('the variants of a product', async () => {
  const small = await newProduct({ name: 'small' });
  const medium = await newProduct({ name: 'medium', group_id: small });
  const large = await newProduct({ name: 'large', group_id: small, stock: 0 });
  const gone = await newProduct({ name: 'gone', group_id: small });
  await call(admin, 'set_product_status', { product_id: gone, status: 'DISCONTINUED' });
  const { data, error } = await client().from('products').select('id,variants(name,status)').in('id', [small, medium, large]).order('id');
  assert.equal(error, null);
  const on = (name) => ({ name, status: name === 'large' ? 'SOLD_OUT' : 'ON_SALE' });
  const sorted = data.map((p) => [p.id, p.variants.sort((a, b) => (a.name < b.name ? -1 : 1))]);
  assert.deepEqual(sorted, [[small, [on('large'), on('medium')]], [medium, [on('large'), on('small')]], [large, [on('medium'), on('small')]]]);
  const alone = await newProduct();
  assert.deepEqual((await client().from('products').select('variants(id)').eq('id', alone).single()).data, { variants: [] });
});

test('what a shop keeps of its own with a product is its seller\'s to see', async () => {
  const [seller, other] = [await newSeller(), await newSeller()];
  const id = await newProduct({ metadata: { cost: 3000 }, seller_id: seller.sellerId });
  for (const [who, metadata] of [[undefined, null], [other.who, null], [seller.who, { cost: 3000 }], [admin, { cost: 3000 }]]) {
    assert.deepEqual((await client(who).from('products').select('metadata').eq('id', id).single()).data, { metadata }, `${who}`);
    assert.deepEqual((await http(`/rpc/get_product?product_id=${id}`, { who })).data.metadata, metadata, `${who}`);
  }
});

test('a parcel is found by its number, with what is in it', async () => {
  const [buyer, stranger, seller] = [await newBuyer(), await newBuyer(0), await newSeller()];
  const product = await newProduct({ seller_id: seller.sellerId, name: 'sent' });
  const { data: order } = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 2 }] });
  const tracking_number = `track-${order.id}`;
  const sent = await call(seller.who, 'dispatch_items', { order_item_ids: [order.items[0].id], carrier: 'CJ', tracking_number });
  const find = async (who, more = '') => (await client(who).from('shipments').select(`id,carrier,order_items(product_name,quantity,status)${more}`).eq('tracking_number', tracking_number)).data;
  const { data: [seen] } = await client(seller.who).from('seller_orders').select().eq('id', order.id);
  assert.deepEqual(Object.keys(seen).sort(), ['asked', 'created_at', 'id', 'items', 'recipient_address', 'recipient_memo', 'recipient_name', 'recipient_phone', 'to_send']);
  assert.deepEqual([seen.recipient_name, seen.items.length, seen.items[0].line_total, seen.to_send], ['Buyer', 1, 20000, false]);
  const parcel = { id: sent.data.id, carrier: 'CJ', order_items: [{ product_name: 'sent', quantity: 2, status: 'DISPATCHED' }] };
  for (const who of [buyer.who, seller.who, admin]) assert.deepEqual(await find(who), [parcel], who);
  assert.deepEqual(await find(admin, ',orders(id,user_id,status)'), [{ ...parcel, orders: { id: order.id, user_id: buyer.id, status: 'PAID' } }]);
  assert.deepEqual(await find(stranger.who), []);
});

test('users and sellers change what is their own', async () => {
  const [buyer, seller] = [await newBuyer(0), await newSeller()];
  const changed = await call(buyer.who, 'update_user', { name: 'Kim', phone: '010-1', address: 'Seoul', email: `new-${buyer.id}@example.com`, metadata: { size: 'M' } });
  assert.deepEqual([changed.status, changed.data.name, changed.data.metadata], [200, 'Kim', { size: 'M' }]);
  assert.equal((await call(buyer.who, 'update_user', { clear: ['address', 'email'] })).data.address, null);
  assert.deepEqual((await http('/users?select=name,phone,address,email', { who: buyer.who })).json, [{ name: 'Kim', phone: '010-1', address: null, email: null }]);
  for (const body of [{ external_id: 'x' }, { clear: ['external_id'] }]) assert.equal((await call(buyer.who, 'update_user', body)).code, 'FORBIDDEN');
  for (const body of [{ role: 'ADMIN' }, { balance: 5 }, { status: 'ACTIVE' }, { user_id: buyer.id }]) assert.equal((await call(buyer.who, 'update_user', body)).code, 'INVALID_REQUEST');
  const business = await call(seller.who, 'update_seller', { business_name: 'Cups', cs_phone: '02-1', category: 'kitchen', shipping_fee: 3000, free_shipping_from: 50000, metadata: { bank: 'x' } });
  assert.deepEqual([business.status, business.data.business_name, business.data.shipping_fee], [200, 'Cups', 3000]);
  assert.deepEqual((await http(`/sellers?id=eq.${seller.sellerId}&select=business_name,metadata`, { who: seller.who })).json, [{ business_name: 'Cups', metadata: { bank: 'x' } }]);
  assert.deepEqual((await http(`/sellers?id=eq.${seller.sellerId}&select=business_name,metadata`)).json, [{ business_name: 'Cups', metadata: null }]);
  assert.equal((await call(seller.who, 'update_seller', { registration_number: 'mine' })).code, 'FORBIDDEN');
  assert.equal((await call(seller.who, 'update_seller', { active: true })).code, 'INVALID_REQUEST');
  assert.equal((await call(seller.who, 'update_user', { phone: '010-2' })).data.phone, '010-2');
});

test('a product by itself', async () => {
  const id = await newProduct({ name: 'alone' });
  const answer = await http(`/rpc/get_product?product_id=${id}`);
  assert.deepEqual([answer.status, answer.code, answer.data.name], [200, 'SUCCESS', 'alone']);
  assert.equal((await http('/rpc/get_product?product_id=999999999')).code, 'ENTITY_NOT_FOUND');
  assert.equal((await http('/rpc/get_product?product_id=x')).code, 'INVALID_REQUEST');
  assert.equal((await http('/rpc/get_product')).code, 'INVALID_REQUEST');
});

test('a product that nobody sells any more is gone from the catalogue', async () => {
  const id = await newProduct();
  assert.equal((await call(admin, 'set_product_status', { product_id: id, status: 'DISCONTINUED' })).status, 200);
  assert.deepEqual((await http(`/products?id=eq.${id}`)).json, []);
  assert.equal((await http(`/rpc/get_product?product_id=${id}`)).status, 404);
});

test('charging', async () => {
  const buyer = await newBuyer(0);
  const answer = await call(buyer.who, 'charge_balance', { amount: 5000 });
  assert.deepEqual([answer.status, answer.json], [200, { code: 'SUCCESS', message: 'the request succeeded', data: { user_id: buyer.id, balance: 5000 } }]);
  assert.equal((await http('/rpc/get_balance', { who: buyer.who })).data.balance, 5000);
  assert.deepEqual((await client(buyer.who).from('balance_entries').select('kind,amount,balance_after')).data, [{ kind: 'CHARGE', amount: 5000, balance_after: 5000 }]);
  for (const amount of [0, -100, 50, 150, 100000000]) assert.equal((await call(buyer.who, 'charge_balance', { amount })).code, 'INVALID_REQUEST');
});

test('an order is 201 with a Location that can be read', async () => {
  const buyer = await newBuyer();
  const product = await newProduct({ shipping_fee: 3000 });
  const answer = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 2 }] });
  assert.equal(answer.status, 201);
  assert.equal(answer.headers.get('location'), `/rpc/get_order?order_id=${answer.data.id}`);
  assert.match(answer.headers.get('vary'), /Accept-Language/);
  assert.match(answer.headers.get('content-type'), /^application\/json/);
  assert.deepEqual([answer.data.status, answer.data.payment_amount, answer.data.items.length], ['PAID', 23000, 1]);
  const read = await http(answer.headers.get('location'), { who: buyer.who });
  assert.deepEqual([read.status, read.data.id, read.data.items[0].history.map((e) => e.event)], [200, answer.data.id, ['PAID', 'PREPARING']]);
});

test('orders embed items, their history, products and sellers', async () => {
  const buyer = await newBuyer();
  const seller = await newSeller();
  const product = await newProduct({ seller_id: seller.sellerId });
  await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }] });
  const { data, error } = await client(buyer.who).from('orders')
    .select('status,order_items(quantity,order_item_events(event),products(name,sellers(business_name))),payments(amount)');
  assert.equal(error, null);
  assert.deepEqual(data, [{ status: 'PAID', payments: [{ amount: 10000 }],
    order_items: [{ quantity: 1, order_item_events: [{ event: 'PAID' }, { event: 'PREPARING' }], products: { name: 'mug', sellers: { business_name: 'Mugs' } } }] }]);
});

test('a pending payment is 202, and its confirmation pays', async () => {
  const buyer = await newBuyer();
  const product = await newProduct();
  const placed = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }], payment_method: 'EXTERNAL' });
  assert.deepEqual([placed.status, placed.data.status], [202, 'PENDING_PAYMENT']);
  const paid = await call(admin, 'confirm_payment', { order_id: placed.data.id, succeeded: true, provider_event_id: `e-${placed.data.id}` });
  assert.deepEqual([paid.status, paid.data.status], [200, 'PAID']);
  assert.equal((await call(buyer.who, 'confirm_payment', { order_id: placed.data.id, succeeded: true, provider_event_id: 'x' })).status, 403);
});

test('a payment that failed is tried again, and what was paid too much goes back', async () => {
  const buyer = await newBuyer(0);
  const product = await newProduct();
  const placed = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }], payment_method: 'EXTERNAL', delivery: { name: 'Lee', memo: 'at the door' } });
  const order_id = placed.data.id;
  const answered = (succeeded, provider_event_id, more = {}) => call(admin, 'confirm_payment', { order_id, succeeded, provider_event_id: `${provider_event_id}-${order_id}`, ...more });
  assert.equal((await answered(false, 'a')).data.status, 'CANCELLED');
  assert.equal((await call((await newBuyer(0)).who, 'retry_payment', { order_id })).status, 404);
  const retried = await call(buyer.who, 'retry_payment', { order_id });
  assert.deepEqual([retried.status, retried.data.status, retried.headers.get('location')], [202, 'PENDING_PAYMENT', `/rpc/get_order?order_id=${order_id}`]);
  assert.equal((await answered(true, 'b', { amount: 10000 })).data.status, 'PAID');
  assert.equal((await answered(true, 'c', { amount: 10000 })).data.status, 'PAID');
  const refunded = await call(admin, 'refund_order', { order_id, amount: 1000, note: 'came late' }, { 'Idempotency-Key': 'r' });
  assert.deepEqual([refunded.status, refunded.data.refunded_amount], [200, 1000]);
  const { data: [unexpected] } = await client(buyer.who).from('payments').select('id,amount').eq('status', 'UNEXPECTED');
  const returned = await call(admin, 'return_payment', { payment_id: unexpected.id });
  assert.deepEqual([returned.data.kind, returned.data.status, returned.data.refund_of], ['REFUND', 'REQUESTED', unexpected.id]);
  assert.equal((await call(admin, 'report_refund', { payment_id: returned.data.id, succeeded: true, provider_event_id: `d-${order_id}` })).data.status, 'COMPLETED');
  assert.deepEqual((await client(buyer.who).from('payments').select('kind,status,amount').order('id')).data, [
    { kind: 'PAYMENT', status: 'FAILED', amount: 10000 }, { kind: 'PAYMENT', status: 'COMPLETED', amount: 10000 }, { kind: 'PAYMENT', status: 'UNEXPECTED', amount: 10000 },
    { kind: 'REFUND', status: 'REQUESTED', amount: 1000 }, { kind: 'REFUND', status: 'COMPLETED', amount: 10000 }]);
  const { data: [order] } = await client(buyer.who).from('orders').select('recipient_name,recipient_memo');
  assert.deepEqual(order, { recipient_name: 'Lee', recipient_memo: 'at the door' });
});

test('a seller sees where an order goes and the own lines, and nothing else of it', async () => {
  const [buyer, seller, other] = [await newBuyer(), await newSeller(), await newSeller()];
  const [mine, theirs] = [await newProduct({ seller_id: seller.sellerId }), await newProduct({ seller_id: other.sellerId })];
  const placed = await call(buyer.who, 'place_order', { items: [{ product_id: mine, quantity: 2 }, { product_id: theirs, quantity: 1 }], delivery: { address: 'Seoul' } });
  const { data, error } = await client(seller.who).from('seller_orders').select();
  assert.equal(error, null);
  assert.deepEqual([data.length, Object.keys(data[0]).sort(), data[0].recipient_address, data[0].items.map((i) => i.product_id)],
    [1, ['asked', 'created_at', 'id', 'items', 'recipient_address', 'recipient_memo', 'recipient_name', 'recipient_phone', 'to_send'], 'Seoul', [mine]]);
  const [line, foreign] = placed.data.items.toSorted((a, b) => (a.product_id === mine ? -1 : 1));
  const cancelled = await call(seller.who, 'cancel_order_item', { order_item_id: line.id, quantity: 1, note: 'broken' });
  assert.deepEqual([cancelled.status, cancelled.data.items.map((i) => i.status), cancelled.data.payment_amount], [200, ['PREPARING', 'CANCELLED'], undefined]);
  assert.equal((await call(seller.who, 'cancel_order_item', { order_item_id: foreign.id, quantity: 1 })).status, 404);
});

test('a charge that a provider is to pay', async () => {
  const buyer = await newBuyer(0);
  const asked = await call(buyer.who, 'request_charge', { amount: 5000, payment_channel: 'card' }, { 'Idempotency-Key': 'c' });
  assert.deepEqual([asked.status, asked.data.status, asked.headers.get('location')], [202, 'REQUESTED', `/payments?id=eq.${asked.data.id}`]);
  assert.equal((await call(buyer.who, 'request_charge', { amount: 5000, pay_within: '1 day' })).code, 'INVALID_REQUEST');
  assert.equal((await call(buyer.who, 'confirm_charge', { payment_id: asked.data.id, succeeded: true, provider_event_id: 'x' })).status, 403);
  const confirm = () => call(admin, 'confirm_charge', { payment_id: asked.data.id, succeeded: true, provider_event_id: `c-${asked.data.id}`, amount: 5000 });
  assert.deepEqual([(await confirm()).data.status, (await confirm()).data.status], ['COMPLETED', 'COMPLETED']);
  assert.equal((await http('/rpc/get_balance', { who: buyer.who })).data.balance, 5000);
  assert.deepEqual((await http(asked.headers.get('location'), { who: buyer.who })).json.map((p) => [p.kind, p.status]), [['CHARGE', 'COMPLETED']]);
});

test('a coupon that a seller gives, and the seller\'s report', async () => {
  const [buyer, seller] = [await newBuyer(), await newSeller()];
  const product = await newProduct({ seller_id: seller.sellerId });
  const coupon_id = (await call(seller.who, 'create_coupon', { name: 'sorry', kind: 'FIXED', value: 1000, quantity: 1, valid_days: 7, claimable: false })).data.coupon_id;
  assert.equal((await call(buyer.who, 'claim_coupon', { coupon_id })).code, 'COUPON_NOT_CLAIMABLE');
  const given = await call(seller.who, 'issue_coupon', { coupon_id, user_id: buyer.id });
  assert.equal((await call(seller.who, 'update_coupon', { coupon_id, quantity: 3 })).data.quantity, 3);
  assert.deepEqual((await client(seller.who).from('quota_entries').select('delta').eq('coupon_id', coupon_id).order('delta')).data, [{ delta: 1 }, { delta: 2 }]);
  assert.equal((await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 2 }], coupon_issue_ids: [given.data.id] })).data.payment_amount, 19000);
  const report = await http('/rpc/sales_report?from_date=2020-01-01&to_date=2099-01-01', { who: seller.who });
  assert.deepEqual(report.data.map((r) => [r.product_id, r.fact, r.units, r.gross, r.own_discounts, r.net]), [[product, 'SALE', 2, 20000, 1000, 19000]]);
  assert.equal((await http(`/rpc/sales_report?from_date=2020-01-01&to_date=2099-01-01&seller_id=${seller.sellerId}`, { who: seller.who })).code, 'INVALID_REQUEST');
  assert.equal((await http('/rpc/sales_report?from_date=x&to_date=2099-01-01', { who: admin })).code, 'INVALID_REQUEST');
});

test('a parcel, an exchange, and half a return', async () => {
  const [buyer, seller] = [await newBuyer(), await newSeller()];
  const [product, larger] = [await newProduct({ seller_id: seller.sellerId, sku: 'S' }), await newProduct({ seller_id: seller.sellerId, sku: 'L' })];
  const placed = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 2 }] });
  const [order_id, order_item_id] = [placed.data.id, placed.data.items[0].id];
  assert.equal((await call(buyer.who, 'update_delivery', { order_id, delivery: { memo: 'at the door' } })).data.recipient_memo, 'at the door');
  const sent = await call(seller.who, 'dispatch_items', { order_item_ids: [order_item_id], carrier: 'CJ', tracking_number: '77' });
  assert.deepEqual([sent.status, sent.headers.get('location')], [201, `/shipments?id=eq.${sent.data.id}`]);
  assert.deepEqual((await http(sent.headers.get('location'), { who: seller.who })).json.map((s) => s.tracking_number), ['77']);
  assert.deepEqual((await call(seller.who, 'change_shipment_status', { shipment_id: sent.data.id, new_status: 'DELIVERED' })).data, { moved: 1 });
  const { data, error } = await client(buyer.who).from('shipments').select('carrier,order_items(status,quantity)').eq('tracking_number', '77').eq('order_id', order_id);
  assert.equal(error, null);
  assert.deepEqual(data, [{ carrier: 'CJ', order_items: [{ status: 'DELIVERED', quantity: 2 }] }]);
  const step = (who, new_status) => call(who, 'change_item_status', { order_item_id, new_status });
  await step(buyer.who, 'EXCHANGE_REQUESTED');
  await step(seller.who, 'EXCHANGE_PROCESSING');
  const exchanged = await call(seller.who, 'complete_exchange', { order_item_id, replacement_product_id: larger });
  assert.deepEqual([exchanged.data.status, exchanged.data.replacement_product_id], ['EXCHANGED', larger]);
  await step(buyer.who, 'RETURN_REQUESTED');
  await step(seller.who, 'RETURN_PROCESSING');
  const returned = await call(seller.who, 'complete_return', { order_item_id, quantity: 1, deduction: 2500 }, { 'Idempotency-Key': 'half' });
  assert.deepEqual([returned.status, returned.data.items.map((i) => [i.status, i.quantity])], [200, [['RETURN_PROCESSING', 1], ['RETURNED', 1]]]);
  assert.equal((await http('/rpc/get_balance', { who: buyer.who })).data.balance, 1000000 - 20000 + 7500);
  assert.equal((await http(`/products?id=eq.${larger}`)).json[0].stock, 99);
});

test('a person changes and reads what is kept of himself', async () => {
  const buyer = await newBuyer(100);
  const changed = await call(buyer.who, 'update_user', { phone: '010-1', address: 'Busan', metadata: { size: 'M' } });
  assert.deepEqual([changed.data.phone, changed.data.metadata], ['010-1', { size: 'M' }]);
  assert.equal((await call(buyer.who, 'update_user', { clear: ['address'] })).data.address, null);
  assert.equal((await call(buyer.who, 'update_user', { external_id: 'x' })).status, 403);
  assert.equal((await call(buyer.who, 'update_user', { user_id: 1, phone: '1' })).code, 'INVALID_REQUEST');
  const kept = await http('/rpc/export_user', { who: buyer.who });
  assert.deepEqual([kept.data.user.id, kept.data.balance_entries.length], [buyer.id, 1]);
  assert.equal((await http(`/rpc/export_user?user_id=${buyer.id}`, { who: buyer.who })).code, 'INVALID_REQUEST');
  const user_id = buyer.id;
  assert.equal((await http(`/rpc/balance_statement?user_id=${user_id}`, { who: admin })).data[0].amount, 100);
  assert.equal((await http(`/rpc/find_user?email=${encodeURIComponent(kept.data.user.email.toUpperCase())}`, { who: admin })).data.id, user_id);
  assert.equal((await call(admin, 'erase_user', { user_id })).code, 'OPEN_BUSINESS');
  assert.equal((await call(admin, 'adjust_balance', { user_id, amount: -100, note: 'paid out' })).data.balance, 0);
  assert.equal((await call(admin, 'erase_user', { user_id, note: 'asked' })).data.email, null);
});

test('Idempotency-Key', async () => {
  const buyer = await newBuyer();
  const product = await newProduct();
  const order = (quantity) => call(buyer.who, 'place_order', { items: [{ product_id: product, quantity }] }, { 'Idempotency-Key': 'k1' });
  const first = await order(1);
  const second = await order(1);
  assert.deepEqual([first.status, second.status, second.text, second.headers.get('location')], [201, 201, first.text, first.headers.get('location')]);
  assert.deepEqual([first.headers.get('idempotent-replayed'), second.headers.get('idempotent-replayed')], [null, 'true']);
  const other = await order(2);
  assert.deepEqual([other.status, other.code], [422, 'IDEMPOTENCY_KEY_REUSED']);
  const together = await Promise.all(Array.from({ length: 5 }, () => call(buyer.who, 'charge_balance', { amount: 100 }, { 'Idempotency-Key': 'k2' })));
  assert.deepEqual([...new Set(together.map((a) => a.status))], [200]);
  assert.equal(together.filter((a) => a.headers.get('idempotent-replayed') === 'true').length, 4);
  assert.equal((await http('/rpc/get_balance', { who: buyer.who })).data.balance, 1000000 - 10000 + 100);
});

test('Prefer: tx=rollback is a free quote', async () => {
  const buyer = await newBuyer();
  const product = await newProduct();
  const quote = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 3 }] }, { Prefer: 'tx=rollback' });
  assert.deepEqual([quote.status, quote.data.payment_amount], [201, 30000]);
  assert.equal((await http('/rpc/get_balance', { who: buyer.who })).data.balance, 1000000);
  assert.deepEqual((await http('/orders', { who: buyer.who })).json, []);
  assert.equal((await client().from('products').select('stock').eq('id', product).single()).data.stock, 100);
});

test('coupons: claimed once, listed, used', async () => {
  const buyer = await newBuyer();
  const product = await newProduct();
  const coupon = await newCoupon();
  assert.equal((await client(buyer.who).from('coupons').select('remaining,status').eq('id', coupon).single()).data.remaining, 100);
  const claimed = await call(buyer.who, 'claim_coupon', { coupon_id: coupon });
  assert.deepEqual([claimed.status, claimed.data.status], [201, 'ACTIVE']);
  assert.deepEqual((await http(claimed.headers.get('location'), { who: buyer.who })).json.map((c) => c.coupon_id), [coupon]);
  assert.equal((await call(buyer.who, 'claim_coupon', { coupon_id: coupon })).code, 'COUPON_ALREADY_CLAIMED');
  assert.deepEqual((await http('/rpc/usable_coupons', { who: buyer.who })).data.map((c) => c.id), [claimed.data.id]);
  const order = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }], coupon_issue_ids: [claimed.data.id] });
  assert.equal(order.data.payment_amount, 9000);
  assert.deepEqual((await http('/rpc/usable_coupons', { who: buyer.who })).data, []);
  assert.equal((await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }], coupon_issue_ids: [claimed.data.id] })).code, 'COUPON_NOT_USABLE');
});

test('the last coupon is sold out for the next', async () => {
  const [one, two] = [await newBuyer(0), await newBuyer(0)];
  const coupon = await newCoupon({ quantity: 1 });
  assert.equal((await call(one.who, 'claim_coupon', { coupon_id: coupon })).status, 201);
  const late = await call(two.who, 'claim_coupon', { coupon_id: coupon });
  assert.deepEqual([late.status, late.code], [409, 'COUPON_SOLD_OUT']);
  assert.equal((await client().from('coupons').select('status').eq('id', coupon).single()).data.status, 'EXHAUSTED');
});

test('an order sheet, and the order of it', async () => {
  const buyer = await newBuyer();
  const other = await newBuyer(0);
  const product = await newProduct();
  const sheet = await call(buyer.who, 'create_order_sheet', { items: [{ product_id: product, quantity: 1 }] });
  assert.deepEqual([sheet.status, sheet.data.payment_amount, sheet.data.items[0].line_total], [201, 10000, 10000]);
  assert.equal((await http(sheet.headers.get('location'), { who: buyer.who })).json.length, 1);
  assert.deepEqual((await http(sheet.headers.get('location'), { who: other.who })).json, []);
  assert.equal((await call(other.who, 'place_sheet_order', { order_sheet_id: sheet.data.id })).code, 'ENTITY_NOT_FOUND');
  assert.equal((await call(buyer.who, 'place_sheet_order', { order_sheet_id: sheet.data.id })).status, 201);
  assert.equal((await call(buyer.who, 'place_sheet_order', { order_sheet_id: sheet.data.id })).code, 'ORDER_SHEET_USED');
  const dear = await call(buyer.who, 'create_order_sheet', { items: [{ product_id: product, quantity: 1 }] });
  await call(admin, 'update_product', { product_id: product, price: 11000 });
  assert.equal((await call(buyer.who, 'place_sheet_order', { order_sheet_id: dear.data.id })).code, 'PRICE_CHANGED');
});

test('what is refused has the code of the table', async () => {
  const buyer = await newBuyer(100);
  const product = await newProduct({ stock: 1, max_per_order: 5 });
  const gone = await newProduct();
  await call(admin, 'set_product_status', { product_id: gone, status: 'DISCONTINUED' });
  const order = (id, quantity) => call(buyer.who, 'place_order', { items: [{ product_id: id, quantity }] });
  for (const [answer, status, code] of [
    [await order(product, 1), 409, 'BALANCE_NOT_ENOUGH'], [await order(product, 2), 409, 'STOCK_NOT_ENOUGH'],
    [await order(product, 6), 409, 'PURCHASE_LIMIT_EXCEEDED'], [await order(gone, 1), 409, 'PRODUCT_NOT_ON_SALE'],
    [await order(999999999, 1), 404, 'ENTITY_NOT_FOUND'], [await order(product, 0), 400, 'INVALID_REQUEST']]) {
    assert.deepEqual([answer.status, answer.code], [status, code]);
    assert.deepEqual(Object.keys(answer.json).sort(), ['code', 'details', 'hint', 'message']);
  }
});

test('cancelling: a part, and all', async () => {
  const buyer = await newBuyer();
  const other = await newBuyer(0);
  const product = await newProduct();
  const { data: order } = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 3 }] });
  assert.equal((await call(other.who, 'cancel_order', { order_id: order.id })).status, 404);
  const part = await call(buyer.who, 'cancel_order_item', { order_item_id: order.items[0].id, quantity: 1 });
  assert.deepEqual([part.data.status, part.data.refunded_amount, part.data.items.length], ['PARTIALLY_CANCELLED', 10000, 2]);
  assert.equal((await call(buyer.who, 'cancel_order', { order_id: order.id, note: 'all of it' })).data.status, 'REFUNDED');
  assert.equal((await call(buyer.who, 'cancel_order', { order_id: order.id })).code, 'INVALID_STATE_TRANSITION');
  assert.equal((await http('/rpc/get_balance', { who: buyer.who })).data.balance, 1000000);
});

test('delivery, return, exchange, by whom they are made', async () => {
  const buyer = await newBuyer();
  const [seller, rival] = [await newSeller(), await newSeller()];
  const product = await newProduct({ seller_id: seller.sellerId });
  const { data: order } = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 3 }] });
  const item = order.items[0].id;
  const step = (who, new_status, more = {}) => call(who, 'change_item_status', { order_item_id: item, new_status, ...more });
  assert.equal((await step(rival.who, 'DISPATCHED')).status, 404);
  assert.equal((await step(buyer.who, 'DISPATCHED')).code, 'INVALID_STATE_TRANSITION');
  for (const status of ['DISPATCHED', 'IN_TRANSIT', 'DELIVERED']) assert.equal((await step(seller.who, status)).data.status, status);
  const returned = await step(buyer.who, 'RETURN_REQUESTED', { quantity: 1, note: 'too small' });
  assert.deepEqual([returned.data.status, returned.data.quantity], ['RETURN_REQUESTED', 1]);
  const exchanged = await step(buyer.who, 'EXCHANGE_REQUESTED', { quantity: 1 });
  assert.deepEqual((await client(seller.who).from('seller_orders').select('id,to_send').is('asked', true)).data, [{ id: order.id, to_send: false }]);
  assert.deepEqual((await client(seller.who).from('seller_orders').select('id').is('to_send', true)).data, []);
  assert.equal(exchanged.data.status, 'EXCHANGE_REQUESTED');
  assert.equal((await step(buyer.who, 'CONFIRMED')).data.status, 'CONFIRMED');
  for (const status of ['RETURN_PROCESSING', 'RETURNED'])
    assert.equal((await call(seller.who, 'change_item_status', { order_item_id: returned.data.id, new_status: status })).data.status, status);
  assert.equal((await http('/rpc/get_balance', { who: buyer.who })).data.balance, 1000000 - 20000);
  const items = await client(seller.who).from('order_items').select('id,status,order_item_events(actor,event)').eq('order_id', order.id).order('id');
  assert.deepEqual(items.data.map((i) => i.status).sort(), ['CONFIRMED', 'EXCHANGE_REQUESTED', 'RETURNED']);
  assert.deepEqual((await client(rival.who).from('order_items').select('id').eq('order_id', order.id)).data, []);
});

test('a seller manages its own products, stock, promotions and coupons', async () => {
  const [seller, rival] = [await newSeller(), await newSeller()];
  const made = await call(seller.who, 'create_product', { name: 'cup', price: 5000, stock: 10 });
  assert.equal(made.status, 201);
  const id = made.data.product_id;
  assert.equal((await call(seller.who, 'update_product', { product_id: id, price: 4000 })).data.price, 4000);
  assert.equal((await call(seller.who, 'adjust_stock', { product_id: id, delta: -3, note: 'broken' })).data.available, 7);
  assert.equal((await call(seller.who, 'create_promotion', { product_id: id, kind: 'PERCENT', value: 10, starts_at: '2020-01-01T00:00:00Z', ends_at: '2100-01-01T00:00:00Z' })).status, 201);
  assert.equal((await call(seller.who, 'create_coupon', { name: 'c', kind: 'FIXED', value: 100, quantity: 1, valid_days: 1, product_id: id })).status, 201);
  const { data } = await client(seller.who).from('my_products').select('price_now,stock,stock_entries(delta,reason,note),promotions(value)').eq('id', id).single();
  assert.deepEqual(data, { price_now: 3600, stock: 7, promotions: [{ value: 10 }],
    stock_entries: [{ delta: 10, reason: 'INITIAL', note: null }, { delta: -3, reason: 'ADJUST', note: 'broken' }] });
  assert.equal((await call(rival.who, 'update_product', { product_id: id, price: 1 })).code, 'ENTITY_NOT_FOUND');
  assert.equal((await call(seller.who, 'create_product', { name: 'x', price: 1, stock: 1, seller_id: rival.sellerId })).code, 'INVALID_REQUEST');
  assert.deepEqual((await client(rival.who).from('my_products').select('id')).data, []);
});

test('a seller finds its own business', async () => {
  const seller = await newSeller();
  const { data, error } = await client(seller.who).from('users').select('id,sellers(id,business_name)');
  assert.equal(error, null);
  assert.deepEqual(data, [{ id: seller.id, sellers: { id: seller.sellerId, business_name: 'Mugs' } }]);
});

test('a seller buys with a buyer\'s token of the same person', async () => {
  const [seller, other] = [await newSeller(), await newSeller()];
  const product = await newProduct({ seller_id: other.sellerId });
  const asBuyer = `buyer ${seller.id}`;
  assert.equal((await call(seller.who, 'charge_balance', { amount: 20000 })).code, 'FORBIDDEN');
  assert.equal((await call(asBuyer, 'charge_balance', { amount: 20000 })).status, 200);
  const order = await call(asBuyer, 'place_order', { items: [{ product_id: product, quantity: 1 }] });
  assert.equal(order.status, 201, order.text);
  assert.deepEqual((await http('/orders?select=id', { who: asBuyer })).json, [{ id: order.data.id }]);
  assert.equal((await http('/orders?select=id', { who: seller.who })).status, 403);
  assert.equal((await http('/rpc/get_balance', { who: asBuyer })).data.balance, 10000);
  assert.equal((await call(asBuyer, 'update_seller', { category: 'x' })).code, 'FORBIDDEN');
});

test('an administrator: users, subscriptions, jobs, books', async () => {
  const buyer = await newBuyer(0);
  assert.equal((await call(admin, 'set_user_status', { user_id: buyer.id, status: 'SUSPENDED' })).data.status, 'SUSPENDED');
  const refused = await call(buyer.who, 'charge_balance', { amount: 100 });
  assert.deepEqual([refused.status, refused.code], [403, 'FORBIDDEN']);
  const name = `test-${buyer.id}`;
  const subscribed = await call(admin, 'subscribe', { name });
  assert.equal(subscribed.status, 201);
  assert.deepEqual((await http(subscribed.headers.get('location'), { who: admin })).json.map((s) => s.name), [name]);
  const events = await http(`/rpc/fetch_events?subscription=${name}&max_events=3`, { who: admin });
  assert.equal(events.data.length, 3);
  assert.equal((await call(admin, 'ack_events', { subscription: name, up_to: events.data[2].position })).status, 200);
  assert.equal((await http('/subscriptions', { who: admin })).json.filter((s) => s.name === name).length, 1);
  assert.equal((await call(admin, 'unsubscribe', { subscription: name })).status, 200);
  assert.equal((await call(admin, 'run_job', { name: 'popular-products' })).status, 200);
  assert.ok((await http('/job_status', { who: admin })).json.length > 3);
  assert.deepEqual((await http('/rpc/check_invariants', { who: admin })).data, []);
  const status = await http('/rpc/shop_status', { who: admin });
  assert.ok(status.data.orders.placed >= 0 && status.data.jobs.length > 3);
});

test('best sellers', async () => {
  await call(admin, 'refresh_popular_products');
  const { data, error } = await client().from('popular_products').select('rank,units_sold,product(name)');
  assert.equal(error, null);
  assert.ok(data.length <= 5);
  for (const row of data) assert.ok(row.product === null || row.product.name);
});

test('messages in the language that is asked for', async () => {
  assert.equal((await http('/rpc/get_balance', { headers: { 'Accept-Language': 'ko-KR,ko;q=0.9' } })).json.message, '인증이 필요합니다.');
  assert.equal((await http('/rpc/get_balance', { headers: { 'Accept-Language': 'en' } })).json.message, 'authentication is required');
  assert.equal((await http('/rpc/get_balance', { headers: { 'Accept-Language': 'fr' } })).json.message, 'authentication is required');
  const buyer = await newBuyer(0);
  assert.equal((await http('/rpc/get_balance', { who: buyer.who, headers: { 'Accept-Language': 'ko' } })).json.message, '요청에 성공했습니다.');
});

test('a script of another origin may read our headers', async () => {
  const buyer = await newBuyer();
  const product = await newProduct();
  const answer = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }] }, { Origin: 'https://shop.example' });
  assert.match(answer.headers.get('access-control-expose-headers'), /Idempotent-Replayed/);
  assert.equal(answer.headers.get('access-control-allow-origin'), '*');
  const refused = await http('/rpc/get_balance', { headers: { Origin: 'https://shop.example' } });
  assert.equal(refused.headers.get('www-authenticate'), 'Bearer');
  assert.match(refused.headers.get('access-control-expose-headers'), /WWW-Authenticate/);
});

test('the caller is the token\'s, whatever the request says', async () => {
  const [buyer, other] = [await newBuyer(), await newBuyer()];
  assert.equal((await call(buyer.who, 'charge_balance', { amount: 100, user_id: other.id })).code, 'INVALID_REQUEST');
  assert.deepEqual((await http(`/balance_entries?user_id=eq.${other.id}`, { who: buyer.who })).json, []);
  assert.equal((await http(`/users?id=eq.${other.id}`, { who: buyer.who })).json.length, 0);
});

test('views cannot be written', async () => {
  const [buyer, seller] = [await newBuyer(), await newSeller()];
  const { json } = await http('/', { url: direct });
  for (const path of Object.keys(json.paths).filter((p) => p !== '/' && !p.startsWith('/rpc/'))) {
    const columns = json.components.schemas[path.slice(1)].properties;
    const column = columns.id ? 'id' : Object.keys(columns)[0];
    for (const [who, status] of [[undefined, 401], [buyer.who, 403], [seller.who, 403], [admin, 403]]) {
      for (const [method, query] of [['POST', ''], ['PATCH', `?${column}=not.is.null`], ['DELETE', `?${column}=not.is.null`]]) {
        for (const body of [{ [column]: null }, { [column]: 1 }]) {
          const answer = await http(path + query, { who, method, body, url: direct });
          assert.deepEqual([answer.status, answer.code], [status, '42501'], `${who}: ${method} ${path}: ${answer.text}`);
        }
      }
      const upsert = await http(`${path}?${column}=eq.1`, { who, method: 'PUT', body: { [column]: 1 }, url: direct });
      assert.ok(upsert.status >= 400 && upsert.status < 500, `${who}: PUT ${path}: ${upsert.status} ${upsert.text}`);
    }
  }
  assert.equal((await http('/rpc/get_balance', { who: buyer.who })).data.balance, 1000000);
});

test('a token with a numeric subject', async () => {
  const buyer = await newBuyer(0);
  const response = await validated(`${base}/rpc/get_balance`, { headers: { Authorization: `Bearer ${token({ role: 'api_buyer', sub: String(buyer.id), iss: 'somebody' })}` } });
  assert.equal(response.status, 200);
});

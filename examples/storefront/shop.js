// The shop over HTTP: all that the pages ask of it. This is the file to copy; its calls are explained in docs/rest.md.

import { PostgrestClient } from './postgrest.js';

let settings, token, language = 'en', client;

// What the shop, or the way to it, refuses: code is one of docs/errors.md, details its object.
export class Refusal extends Error {
	constructor({ code, message, details }) {
		super(message);
		this.code = code;
		try { this.details = JSON.parse(details) ?? {}; } catch { this.details = {}; }
	}
}

export async function open() {
	settings = await (await fetch('settings.json')).json();
	use({});
	return settings;
}

// Who waits wants to know; a page that is looked at again asks again.
const connect = (headers) => new PostgrestClient(settings.shop, { headers, retry: false });

// From here on as this buyer, with messages in this language.
export function use({ as = token, speaking = language }) {
	[token, language] = [as, speaking];
	client = connect({ 'Accept-Language': language, ...(token && { Authorization: `Bearer ${token}` }) });
}

const refusal = (error, status) => new Refusal(status === 0 ? { code: 'UNREACHABLE', message: error.message } : error);

async function read(query) {
	const { data, error, count, status } = await query;
	if (error) throw refusal(error, status);
	return count === null || count === undefined ? data : { rows: data, count };
}

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// With a key, a request that got lost or came at a bad moment can be sent again: it is done once.
async function call(name, body, { key, quote, as = client } = {}) {
	for (let attempt = 1; ; attempt++) {
		let query = as.rpc(name, body);
		if (key) query = query.setHeader('Idempotency-Key', key);
		if (quote) query = query.rollback();
		const { data, error, status } = await query;
		if (!error) return data.data;
		const again = status === 429 || status === 0 && key;
		if (!again || attempt === 4) throw refusal(error, status);
		await wait(attempt * 500);
	}
}

// Catalogue

const escaped = (text) => text.replace(/[\\%_]/g, '\\$&').replaceAll('*', '_');     // for LIKE; PostgREST takes * for %
const quoted = (text) => `"${text.replace(/[\\"]/g, '\\$&')}"`;                      // for PostgREST

// A page begins after the last row of the one before: `after` is that row.
const orders = {
	newest: (query, after) => (after ? query.lt('id', after.id) : query).order('id', { ascending: false }),
	cheapest: (query, after) => (after ? query.or(`price_now.gt.${after.price_now},and(price_now.eq.${after.price_now},id.gt.${after.id})`) : query).order('price_now').order('id'),
};

export function products({ search, category, order = 'newest', after, limit = 12 }) {
	let query = client.from('products').select('*', after ? {} : { count: 'exact' });
	if (category) query = query.eq('category', category);
	if (search) {
		const pattern = quoted(`%${escaped(search)}%`);
		query = query.or(`name.ilike.${pattern},description.ilike.${pattern},seller_name.ilike.${pattern}`);
	}
	return read(orders[order](query, after).limit(limit));
}
export const categories = () => read(client.from('categories').select('*').order('products', { ascending: false }));
export const product = (id) => read(client.from('products').select('*, variants(id, name, price_now, stock, status), promotions(price, ends_at)').eq('id', id).maybeSingle());
export const productsOf = (ids) => read(client.from('products').select('id, name, price_now, price, stock, status, image_urls, max_per_order').in('id', ids));
export const bestSellers = () => read(client.from('popular_products').select('rank, units_sold, product(*)').order('rank'));

// Coupons

export const coupons = () => read(client.from('coupons').select('*').eq('claimable', true).in('status', ['ACTIVE', 'EXHAUSTED']).order('status').order('id', { ascending: false }).limit(12));
export const couponsFor = (product) => read(client.from('coupons').select('*').eq('claimable', true).eq('status', 'ACTIVE').eq('product_id', product));
export const couponsLeft = (ids) => read(client.from('coupons').select('id, remaining, quantity, status').in('id', ids));
export const newestCoupon = (name) => read(client.from('coupons').select('id, remaining, quantity').eq('name', name).order('id', { ascending: false }).limit(1).maybeSingle());
export const myCoupons = () => read(client.from('coupon_issues').select('*').order('id', { ascending: false }).limit(20));
export const usableCoupons = async () => (await read(client.rpc('usable_coupons', {}, { get: true }))).data;
export const claimCoupon = (id) => call('claim_coupon', { coupon_id: id });
// in somebody else's name, for the rush
export const claimCouponAs = (buyer, id) => call('claim_coupon', { coupon_id: id },
	{ as: connect({ Authorization: `Bearer ${buyer}` }) });

// The caller

export const me = () => read(client.from('users').select('id, name, phone, address, balance').single());
export const charge = (amount, key) => call('charge_balance', { amount }, { key });

// Orders: order is the body of rpc/place_order

export const quote = (order) => call('place_order', order, { quote: true });
export const placeOrder = (order, key) => call('place_order', order, { key });
export function myOrders({ before, limit = 10 } = {}) {
	const query = client.from('orders').select('id, status, created_at, payment_amount, refunded_amount, order_items(product_name, quantity, status, seq)');
	return read((before ? query.lt('id', before) : query).order('id', { ascending: false }).limit(limit));
}
export const order = (id) => read(client.from('orders')
	.select('*, order_items(*, order_item_events(*), products(image_urls)), shipments(*), payments(*)')
	.order('seq', { referencedTable: 'order_items' }).order('ordinal', { referencedTable: 'order_items.order_item_events' })
	.order('id', { referencedTable: 'payments' }).order('id', { referencedTable: 'shipments' }).eq('id', id).maybeSingle());
// which step a buyer can take from which state: [from, to]
export const steps = async () => (await read(client.from('order_item_transitions').select('from_status, to_status').eq('actor', 'BUYER').eq('whole_order', false)))
	.map((step) => [step.from_status, step.to_status]);
export const cancelOrder = (id) => call('cancel_order', { order_id: id });
export const cancelItem = (id, quantity, note, key) => call('cancel_order_item', { order_item_id: id, quantity, note }, { key });
export const changeItem = (id, status, quantity, note, key) => call('change_item_status', { order_item_id: id, new_status: status, quantity, note }, { key });
export const retryPayment = (id, key) => call('retry_payment', { order_id: id }, { key });

// What the demo has in the place of a payment provider and of sellers: scripts/storefront.mjs
export async function demo(what, body = {}) {
	const response = await fetch(`demo/${what}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
	const answer = await response.json();
	if (!response.ok) throw new Refusal({ code: 'DEMO', message: answer.message });
	return answer;
}

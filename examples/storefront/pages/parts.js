// Parts of several pages.

import { facts, h, picture } from '../dom.js';
import { money, number, t } from '../texts.js';

export function price(product) {
	const reduced = product.price_now < product.price;
	return h('p', { class: 'price' },
		reduced && [h('span', { class: 'percent' }, t.off(Math.round(100 - 100 * product.price_now / product.price))), ' '],
		h('strong', {}, reduced && h('span', { class: 'unseen' }, `${t.now} `), money(product.price_now)),
		reduced && [' ', h('del', {}, h('span', { class: 'unseen' }, `${t.was} `), money(product.price))]);
}

export const seller = (product) => h('p', { class: 'quiet' }, product.seller_name ? t.by(product.seller_name) : t.shopItself);

export function stock(product) {
	if (product.status === 'SOLD_OUT') return h('p', { class: 'badge out' }, t.soldOut);
	return product.stock <= 10 ? h('p', { class: 'badge few' }, t.left(number(product.stock))) : null;
}

export function card(product, { rank, note } = {}) {
	return h('li', { class: product.status === 'SOLD_OUT' ? 'card out' : 'card' },
		h('a', { href: `#/product/${product.id}` },
			picture(product, 240),
			rank && h('span', { class: 'rank' }, String(rank)),
			stock(product),
			h('h2', {}, product.name)),
		seller(product),
		price(product),
		note && h('p', { class: 'quiet' }, note));
}

// What a coupon does, in words.
export function worth(coupon) {
	return [
		t.kind[coupon.kind](coupon.kind === 'FIXED' ? money(coupon.value) : number(coupon.value)),
		coupon.max_discount && t.atMost(money(coupon.max_discount)),
		coupon.min_order_amount > 0 && t.from(money(coupon.min_order_amount)),
	].filter(Boolean).join(' · ');
}

// What an order, or a quote, comes to; its shipping_total is what is left of shipping after the coupon.
export function bill(order, total) {
	return facts([
		[t.items, money(order.items_total)],
		order.item_discount_total > 0 && [t.discounts, money(-order.item_discount_total), 'less'],
		order.order_discount > 0 && [t.orderDiscount, money(-order.order_discount), 'less'],
		[t.shipping, money(order.shipping_total + order.shipping_discount)],
		order.shipping_discount > 0 && [t.shippingDiscount, money(-order.shipping_discount), 'less'],
		[total, money(order.payment_amount), 'total'],
		order.refunded_amount > 0 && [t.refunded, money(order.refunded_amount)],
	], { class: 'sum' });
}

export const heading = (text, ...more) => h('div', { class: 'heading' }, h('h1', {}, text), more);

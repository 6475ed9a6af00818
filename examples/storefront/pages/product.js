// One product, its variants, and what it costs until when.

import { attempt, buyer, tell } from '../app.js';
import * as basket from '../basket.js';
import { field, h, picture } from '../dom.js';
import * as shop from '../shop.js';
import { money, number, t, time } from '../texts.js';
import { couponList } from './coupons.js';
import { heading, price, seller, stock } from './parts.js';

export default async function product({ id, signal }) {
	const [found, coupons, mine] = await Promise.all([shop.product(id), shop.couponsFor(id), buyer() ? shop.myCoupons() : []]);
	if (!found) return [h('h1', {}, t.notFound)];

	const quantity = h('input', { type: 'number', min: 1, max: Math.min(found.max_per_order ?? 999, Math.max(found.stock, 1)), value: 1, required: true, inputmode: 'numeric' });
	const done = h('p', { role: 'status' });
	const put = attempt(() => {
		basket.add(found.id, Number(quantity.value));
		tell(t.added(found.name));
		done.replaceChildren(`${t.added(found.name)} `, h('a', { href: '#/basket' }, t.toBasket));
	});
	const reduced = found.promotions.toSorted((a, b) => a.price - b.price)[0];
	const variants = found.variants.toSorted((a, b) => a.price_now - b.price_now);

	return [h('article', { class: 'product' },
		picture(found, 480),
		h('div', {},
			heading(found.name),
			seller(found),
			price(found),
			reduced && reduced.price === found.price_now && h('p', { class: 'badge sale' }, t.until(time(reduced.ends_at))),
			stock(found),
			h('p', { class: 'description' }, found.description ?? ''),
			h('p', { class: 'quiet' }, [found.shipping_fee > 0 ? t.shippingFee(money(found.shipping_fee)) : t.freeShipping,
				found.max_per_order && t.maxPerOrder(number(found.max_per_order))].filter(Boolean).join(' · ')),
			variants.length > 0 && h('section', {}, h('h2', {}, t.variants),
				h('ul', { class: 'variants' }, variants.map((v) => h('li', {}, h('a', { href: `#/product/${v.id}` }, v.name, ' ', h('span', { class: 'quiet' }, v.status === 'SOLD_OUT' ? t.soldOut : money(v.price_now))))))),
			found.status === 'SOLD_OUT' ? null : h('form', { class: 'buy', on: { submit: (event) => { event.preventDefault(); put(); } } },
				field(t.quantity, quantity), h('button', { class: 'primary' }, t.add)),
			done,
			coupons.length > 0 && h('section', {}, h('h2', {}, t.couponsOfIt), couponList(coupons, mine, signal))))];
}

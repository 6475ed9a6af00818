// The buyer's points and orders.

import { again, attempt, buyer, tell } from '../app.js';
import { button, field, h } from '../dom.js';
import * as shop from '../shop.js';
import { amountOf, money, number, status, t, time } from '../texts.js';
import { heading } from './parts.js';

function row(order) {
	const [first, ...others] = order.order_items.toSorted((a, b) => a.seq - b.seq);
	return h('li', { class: 'order' }, h('a', { href: `#/order/${order.id}` },
		h('span', { class: 'what' }, others.length ? t.andMore(first.product_name, number(others.length)) : first.product_name),
		h('span', { class: 'quiet' }, `${t.order(order.id)} · ${time(order.created_at)}`),
		h('span', { class: `badge ${order.status.toLowerCase()}` }, status(order.status)),
		h('strong', { class: 'amount' }, money(order.payment_amount))));
}

export default async function orders() {
	if (!buyer()) return [heading(t.orders), h('p', {}, t.choose)];
	const limit = 10;
	const [me, rows] = await Promise.all([shop.me(), shop.myOrders({ limit })]);

	const amount = h('input', { type: 'number', min: 1, step: 'any', value: 100000, required: true, inputmode: 'numeric' });
	let key = crypto.randomUUID();
	const charge = attempt(async () => {
		const { balance } = await shop.charge(amountOf(amount.value), key);
		key = crypto.randomUUID();
		await again();
		tell(balance === undefined ? t.chargeWaits : t.charged(money(balance)));
	});

	const list = h('ul', { class: 'orders' }, rows.map(row));
	const more = button(t.more, attempt(async () => {
		const next = await shop.myOrders({ limit, before: rows.at(-1).id });
		rows.push(...next);
		const added = next.map(row);
		list.append(...added);
		added[0]?.querySelector('a').focus();
		more.hidden = next.length < limit;
	}), { class: 'wide', hidden: rows.length < limit });

	return [
		heading(t.orders),
		h('section', { class: 'points' },
			h('div', {}, h('h2', {}, t.points), h('p', { class: 'big', id: 'balance' }, money(me.balance))),
			h('form', { on: { submit: (event) => { event.preventDefault(); charge(); } } }, field(t.amount, amount), h('button', {}, t.charge))),
		rows.length ? [list, more] : h('p', {}, t.noOrders),
	];
}

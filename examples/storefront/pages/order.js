// One order: how far it is, what can still be done about it, its parcels, its money and its history.

import { attempt, buyer, complain, tell } from '../app.js';
import { button, every, facts, field, h, picture, put } from '../dom.js';
import * as shop from '../shop.js';
import { money, number, status, t, time } from '../texts.js';
import { bill, heading } from './parts.js';

const way = ['PAID', 'PREPARING', 'DISPATCHED', 'IN_TRANSIT', 'DELIVERED', 'CONFIRMED'];
const before = ['PENDING_PAYMENT', 'PAID', 'PREPARING']; // cancel_order takes these

// What somebody is asked before a step: how many of it, and why. Resolves to null when it is not to be.
function confirm(title, most) {
	const quantity = h('input', { type: 'number', min: 1, max: most, value: most, required: true, inputmode: 'numeric' });
	const note = h('input', { maxlength: 500 });
	return new Promise((done) => {
		const heading = h('h2', { id: 'dialog-title' }, title);
		const dialog = h('dialog', { 'aria-labelledby': heading.id, on: { close: () => { dialog.remove(); done(null); } } },
			h('form', { on: { submit: (event) => { event.preventDefault(); done({ quantity: Number(quantity.value), note: note.value.trim() || null }); dialog.close(); } } },
				heading, most > 1 && field(t.quantity, quantity), field(t.reason, note),
				h('div', { class: 'buttons' }, h('button', { class: 'primary' }, t.goOn), button(t.back, () => dialog.close()))));
		document.body.append(dialog);
		dialog.showModal();
	});
}

function tracking(item) {
	const reached = way.indexOf(item.status);
	if (reached < 0) return null;
	return h('ol', { class: 'way', 'aria-label': t.progress }, way.map((step, i) => h('li', { class: i <= reached ? 'done' : null, 'aria-current': i === reached ? 'step' : null }, status(step))));
}

export default async function order({ id, signal }) {
	if (!buyer()) return [heading(t.order(id)), h('p', {}, t.choose)];
	const [steps, first] = await Promise.all([shop.steps(), shop.order(id)]);
	if (!first) return [h('h1', {}, t.notFound)];
	const place = h('div', { class: 'one-order' });
	let shown;

	// A step is done, unless it is taken back, and the page drawn again; the focus stays on the heading when its button is gone.
	const act = (f) => attempt(async () => {
		if (await f() === false) return;
		await refresh();
		tell(t.done);
		if (!document.activeElement || document.activeElement === document.body) place.querySelector('h1').focus();
	});
	const step = (item, to) => button(t.step[to] ?? status(to), act(async () => {
		const said = await confirm(t.of(t.step[to] ?? status(to), item.product_name), item.quantity);
		if (!said) return false;
		const key = crypto.randomUUID();
		await (to === 'CANCELLED' ? shop.cancelItem(item.id, said.quantity, said.note, key) : shop.changeItem(item.id, to, said.quantity, said.note, key));
	}), { 'aria-label': t.of(t.step[to] ?? status(to), item.product_name) });

	function draw(o) {
		if (JSON.stringify(o) === shown) return;
		shown = JSON.stringify(o);
		const waits = o.payments.find((p) => p.kind === 'PAYMENT' && p.status === 'REQUESTED');
		const refund = o.payments.some((p) => p.kind === 'REFUND' && p.method === 'EXTERNAL' && p.status === 'REQUESTED');
		const failed = o.status === 'CANCELLED' && o.payments.some((p) => p.kind === 'PAYMENT' && p.method === 'EXTERNAL' && ['FAILED', 'EXPIRED'].includes(p.status)) && !o.payments.some((p) => p.kind === 'REFUND');
		const is = (...states) => o.order_items.some((i) => states.includes(i.status));
		const demo = (text, what) => button(text, act(() => shop.demo(what, { order_id: o.id })));
		const stage = [is('PREPARING') && demo(t.sendIt, 'send'), is('DISPATCHED', 'IN_TRANSIT') && demo(t.deliverIt, 'deliver'),
			is('RETURN_REQUESTED', 'EXCHANGE_REQUESTED') && demo(t.takeItBack, 'take-back'), refund && demo(t.payBack, 'pay-back')].filter(Boolean);
		put(place,
			h('div', { class: 'heading' }, h('h1', { tabindex: '-1' }, t.order(o.id)), h('p', { class: `badge ${o.status.toLowerCase()}`, id: 'order-status' }, status(o.status)),
				h('p', { class: 'quiet' }, time(o.created_at))),
			waits && h('section', { class: 'pay' }, h('h2', {}, t.payNow), h('p', {}, t.payUntil(time(o.expires_at))), h('div', { class: 'buttons' },
				button(t.pay(money(waits.amount)), act(() => shop.demo('pay', { order_id: o.id, succeeds: true })), { class: 'primary' }),
				button(t.decline, act(() => shop.demo('pay', { order_id: o.id, succeeds: false }))))),
			failed && h('p', {}, button(t.retry, act(() => shop.retryPayment(o.id, crypto.randomUUID())), { class: 'primary' })),
			h('ul', { class: 'items' }, o.order_items.map((item) => h('li', {},
				picture(item.products, 80),
				h('div', {},
					h('h2', {}, h('a', { href: `#/product/${item.product_id}` }, item.product_name), ` × ${number(item.quantity)}`),
					h('p', {}, h('span', { class: `badge ${item.status.toLowerCase()}` }, status(item.status)), ' ', money(item.line_total)),
					tracking(item),
					h('div', { class: 'buttons' }, steps.filter(([from, to]) => from === item.status && !(from === 'PREPARING' && to === 'CANCEL_REQUESTED')).map(([, to]) => step(item, to))),
					h('details', {}, h('summary', {}, t.history), h('ol', { class: 'history' }, item.order_item_events.toSorted((a, b) => a.ordinal - b.ordinal)
						.map((e) => h('li', {}, h('span', {}, status(e.event)), ' ', h('span', { class: 'quiet' }, time(e.at)), e.note && h('q', {}, e.note))))))))),
			o.order_items.every((i) => before.includes(i.status) || i.status === 'CANCELLED') && is(...before) && h('p', {}, button(t.cancelAll, act(() => shop.cancelOrder(o.id)))),
			stage.length > 0 && h('section', { class: 'demo' }, h('h2', {}, t.demo), h('div', { class: 'buttons' }, stage)),
			h('div', { class: 'columns' },
				h('section', {}, h('h2', {}, t.summary), bill(o, t.total)),
				h('section', {}, h('h2', {}, t.money), h('ul', { class: 'plain' }, o.payments.map((p) => h('li', {},
					`${t.payKind[p.kind] ?? p.kind} · ${t.method[p.method] ?? p.method} · ${money(p.amount)} `, h('span', { class: 'quiet' }, t.payState[p.status] ?? p.status))))),
				h('section', {}, h('h2', {}, t.parcels), o.shipments.length ? h('ul', { class: 'plain' }, o.shipments.map((s) => h('li', {}, t.parcel(s.carrier, s.tracking_number), ' ', h('span', { class: 'quiet' }, time(s.at))))) : h('p', { class: 'quiet' }, t.noParcels)),
				h('section', {}, h('h2', {}, t.recipient), facts([[t.name, o.recipient_name ?? '–'], [t.phone, o.recipient_phone ?? '–'], [t.address, o.recipient_address ?? '–'], [t.memo, o.recipient_memo ?? '–']]))));
	}

	async function refresh() {
		const now = await shop.order(id);
		if (!signal.aborted && now) draw(now);
	}
	draw(first);
	// others work on it, too
	every(4000, signal, () => { if (!document.querySelector('dialog')) refresh().catch(complain); });
	return [place];
}

// The basket, and the order that is made of it. What it costs the shop says: it places the order and takes it back
// (Prefer: tx=rollback), so a quote has every check that the order will have.

import { again, attempt, buyer, complain, explain } from '../app.js';
import * as basket from '../basket.js';
import { button, field, h, picture, put, say } from '../dom.js';
import * as shop from '../shop.js';
import { amountOf, money, t } from '../texts.js';
import { bill, heading, worth } from './parts.js';

// A key is good for one order. What is sent again because no answer came has the same one, or there would be two.
let sent;
function keyOf(wanted) {
	const text = JSON.stringify(wanted);
	if (sent?.text !== text) sent = { text, key: crypto.randomUUID() };
	return sent.key;
}

export default async function checkout({ signal }) {
	const lines = basket.lines();
	if (!lines.length) return [heading(t.basket), h('p', {}, t.empty), h('p', {}, h('a', { href: '#/' }, t.catalogue))];
	const who = buyer();
	const [products, me, coupons] = await Promise.all([shop.productsOf(lines.map((l) => l.product_id)), who ? shop.me() : null, who ? shop.usableCoupons() : []]);
	const known = new Map(products.map((p) => [p.id, p]));

	const select = (choices) => h('select', { on: { change: ask } }, h('option', { value: '' }, t.none), choices.map((c) => h('option', { value: String(c.id) }, `${c.name}: ${worth(c)}`)));
	const rows = lines.map((line) => {
		const product = known.get(line.product_id);
		const name = product?.name ?? `#${line.product_id}`;
		const its = coupons.filter((c) => c.scope === 'PRODUCT' && c.product_id === line.product_id);
		const quantity = h('input', { type: 'number', min: 1, max: product?.max_per_order ?? 999, value: line.quantity, 'aria-label': t.quantityOf(name), on: { change: () => {
			if (!quantity.reportValidity()) return;
			line.quantity = Number(quantity.value);
			basket.set(line.product_id, line.quantity);
			ask();
		} } });
		const total = h('p', { class: 'amount' });
		const coupon = its.length ? select(its) : null;
		const element = h('li', { class: 'line' },
			picture(product, 80),
			h('div', {}, h('h2', {}, h('a', { href: `#/product/${line.product_id}` }, name)), h('p', { class: 'quiet' }, product ? money(product.price_now) : t.notSold),
				coupon && field(t.couponFor(name), coupon)),
			quantity, total,
			button(t.remove, () => {
				basket.set(line.product_id, 0);
				lines.splice(lines.indexOf(line), 1);
				if (!lines.length) return again();
				element.remove();
				ask();
				document.getElementById('content').focus();
			}, { class: 'plain', 'aria-label': t.removeOf(name) }));
		return { line, element, total, coupon };
	});
	const order = select(coupons.filter((c) => c.scope !== 'PRODUCT' && c.kind !== 'FREE_SHIPPING'));
	const shipping = select(coupons.filter((c) => c.kind === 'FREE_SHIPPING'));

	const input = (name, value, more) => h('input', { name, value: value ?? '', maxlength: 200, ...more });
	const delivery = { name: input('name', me?.name, { required: true, autocomplete: 'name' }), phone: input('phone', me?.phone, { type: 'tel', autocomplete: 'tel' }),
		address: input('address', me?.address, { required: true, autocomplete: 'street-address' }), memo: input('memo', '') };
	const radio = (value, checked) => h('input', { type: 'radio', name: 'payment', value, checked, id: `pay-${value}`, on: { change: ask } });
	const [points, card] = [radio('BALANCE', true), radio('EXTERNAL', false)];
	const part = h('input', { type: 'number', min: 0, step: 'any', value: 0, inputmode: 'numeric', on: { change: ask } });
	const partField = field(t.pointsToo, part);

	const figures = h('div', {});
	const refused = h('p', { class: 'refused', role: 'alert' });
	const announced = h('p', { class: 'unseen', role: 'status' });
	const buy = h('button', { class: 'primary wide' }, t.place('…'));

	function body() {
		const present = rows.filter(({ line }) => lines.includes(line));
		const chosen = [order, shipping].filter((s) => s.value).map((s) => Number(s.value));
		const said = Object.fromEntries(Object.entries(delivery).map(([name, element]) => [name, element.value.trim()]).filter(([, value]) => value));
		return {
			items: present.map(({ line, coupon }) => ({ ...line, ...(coupon?.value && { coupon_issue_id: Number(coupon.value) }) })),
			coupon_issue_ids: chosen,
			delivery: said,
			...(card.checked ? { payment_method: 'EXTERNAL', payment_channel: 'card', balance_part: amountOf(part.value || 0) } : { payment_method: 'BALANCE' }),
		};
	}

	let asked = 0;
	async function ask() {
		partField.hidden = !card.checked;
		if (!who) return;
		const number = ++asked;
		const wanted = body();
		let answer, why;
		try {
			answer = await shop.quote(wanted);
		} catch (error) {
			why = error;
			// what it would cost is worth knowing also when the points do not suffice
			if (error.code === 'BALANCE_NOT_ENOUGH') answer = await shop.quote({ ...wanted, payment_method: 'EXTERNAL', balance_part: 0 }).catch(() => null);
		}
		if (number !== asked || signal.aborted) return;
		say(refused, why ? `${t.notYet} ${explain(why)}` : '');
		buy.disabled = Boolean(why);
		rows.forEach(({ line, total }) => {
			const its = answer?.items.filter((i) => i.product_id === line.product_id) ?? [];
			say(total, its.length ? money(its.reduce((sum, i) => sum + i.line_total, 0)) : '');
		});
		if (!answer) return put(figures), say(buy, t.place('…'));
		put(figures, bill(answer, t.toPay));
		say(buy, t.place(money(answer.payment_amount)));
		say(announced, `${t.toPay}: ${money(answer.payment_amount)}`);
	}

	const submit = attempt(async () => {
		say(buy, t.placing);
		try {
			const wanted = body();
			const placed = await shop.placeOrder(wanted, keyOf(wanted));
			sent = null;
			basket.empty();
			location.hash = `#/order/${placed.id}`;
		} catch (error) {
			await ask();
			throw error;
		}
	});
	const legend = (text) => h('legend', {}, text);
	ask().catch(complain);
	return [
		heading(t.basket),
		h('form', { class: 'checkout', on: { submit: (event) => { event.preventDefault(); submit(); } } },
			h('div', {},
				h('ul', { class: 'lines' }, rows.map((r) => r.element)),
				who && [
					coupons.length > 0 && h('fieldset', {}, legend(t.coupons), field(t.orderCoupon, order), field(t.shippingCoupon, shipping)),
					h('fieldset', { class: 'grid' }, legend(t.recipient), Object.entries(delivery).map(([name, element]) => field(t[name], element))),
					h('fieldset', {}, legend(t.payment),
						h('div', { class: 'choice' }, points, h('label', { for: points.id }, t.byPoints(money(me.balance))), h('a', { href: '#/orders' }, t.chargeMore)),
						h('div', { class: 'choice' }, card, h('label', { for: card.id }, t.byCard)), partField)]),
			h('aside', { class: 'summary', 'aria-label': t.summary }, h('h2', {}, t.summary),
				who ? [figures, refused, buy, h('p', { class: 'quiet' }, t.quoted), announced] : h('p', {}, t.choose))),
	];
}

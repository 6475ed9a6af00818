// The catalogue: search, categories, order, and pages that begin where the last one ended.

import { attempt, href } from '../app.js';
import { button, field, h, say } from '../dom.js';
import * as shop from '../shop.js';
import { category, number, t } from '../texts.js';
import { card, heading } from './parts.js';

export default async function catalogue({ query }) {
	const asked = { search: query.get('search') ?? '', category: query.get('category'), order: query.get('order') === 'cheapest' ? 'cheapest' : 'newest' };
	const [categories, { rows, count }] = await Promise.all([shop.categories(), shop.products(asked)]);

	const search = h('input', { type: 'search', value: asked.search, name: 'search', autocomplete: 'off', maxlength: 100 });
	const order = h('select', { name: 'order', on: { change: () => go({ order: order.value }) } },
		['newest', 'cheapest'].map((name) => h('option', { value: name }, t[name])));
	order.value = asked.order;
	const go = (changed) => { location.hash = href('', { ...asked, ...changed }); };

	const list = h('ul', { class: 'cards' }, rows.map((p) => card(p)));
	const shown = h('p', { class: 'quiet', role: 'status' });
	const more = button(t.more, attempt(async () => {
		const next = await shop.products({ ...asked, after: rows.at(-1) });
		rows.push(...next);
		const added = next.map((p) => card(p));
		list.append(...added);
		added[0]?.querySelector('a').focus();
		tally();
	}), { class: 'wide' });
	function tally() {
		say(shown, count ? t.shown(number(rows.length), number(count)) : t.nothing);
		more.hidden = rows.length >= count;
	}
	tally();

	const tab = (name, text, amount) => h('li', {}, h('a', { href: href('', { ...asked, category: name }), 'aria-current': (asked.category ?? '') === name ? 'true' : null },
		text, amount !== undefined && h('span', { class: 'quiet' }, ` ${number(amount)}`)));
	return [
		heading(asked.category ? category(asked.category) : t.catalogue),
		h('form', { class: 'finder', role: 'search', on: { submit: (event) => { event.preventDefault(); go({ search: search.value.trim() }); } } },
			field(t.searchFor, search), h('button', { class: 'primary' }, t.search), field(t.sort, order)),
		h('ul', { class: 'tabs' }, tab('', t.all, categories.reduce((sum, c) => sum + c.products, 0)), categories.map((c) => tab(c.category, category(c.category), c.products))),
		list, shown, more,
	];
}

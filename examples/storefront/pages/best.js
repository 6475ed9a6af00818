// What sold best today and on the two days before.

import { h } from '../dom.js';
import * as shop from '../shop.js';
import { number, t } from '../texts.js';
import { card, heading } from './parts.js';

export default async function best() {
	const rows = (await shop.bestSellers()).filter((row) => row.product);
	return [
		heading(t.best),
		rows.length ? h('ol', { class: 'cards ranked' }, rows.map((row) => card(row.product, { rank: row.rank, note: t.units(number(row.units_sold)) }))) : h('p', {}, t.noBest),
	];
}

// Coupons that are first come, first served, with what is left of them as it goes; and the buyer's own.

import { again, attempt, buyer, complain, tell } from '../app.js';
import { button, every, h, say } from '../dom.js';
import * as shop from '../shop.js';
import { number, t, time } from '../texts.js';
import { heading, worth } from './parts.js';

export function couponList(coupons, mine, signal) {
	const has = new Set(mine.map((issue) => issue.coupon_id));
	const shown = new Map(coupons.map((coupon) => {
		const left = h('p', { class: 'left', id: `left-${coupon.id}`, role: 'status' });
		const bar = h('progress', { max: coupon.quantity, 'aria-labelledby': left.id });
		const claim = button('', attempt(async () => {
			if (!buyer()) throw new Error(t.choose);
			try {
				await shop.claimCoupon(coupon.id);
			} catch (error) {
				if (error.code === 'COUPON_SOLD_OUT') show({ ...coupon, remaining: 0, status: 'EXHAUSTED' });
				throw error;
			}
			has.add(coupon.id);
			tell(t.claimedNow(coupon.name));
			refresh();
			if (location.hash.startsWith('#/coupons')) again();
		}), { class: 'primary', 'aria-describedby': `coupon-${coupon.id}` });
		return [coupon.id, { left, bar, claim }];
	}));
	function show(coupon) {
		const { left, bar, claim } = shown.get(coupon.id);
		const over = coupon.remaining === 0 || coupon.status !== 'ACTIVE';
		say(left, over ? t.gone : t.remaining(number(coupon.remaining), number(coupon.quantity)));
		bar.value = coupon.remaining;
		say(claim, has.has(coupon.id) ? t.claimed : over ? t.gone : t.claim);
		claim.setAttribute('aria-disabled', has.has(coupon.id) || over);
	}
	const refresh = () => shop.couponsLeft(coupons.map((c) => c.id)).then((rows) => { rows.forEach(show); }, complain);
	coupons.forEach(show);
	every(2000, signal, refresh);
	return h('ul', { class: 'coupons' }, coupons.map((coupon) => {
		const { left, bar, claim } = shown.get(coupon.id);
		return h('li', { class: 'coupon' },
			h('div', { id: `coupon-${coupon.id}` }, h('h3', {}, coupon.name), h('p', {}, worth(coupon)), coupon.valid_days && h('p', { class: 'quiet' }, t.validDays(number(coupon.valid_days)))),
			h('div', {}, left, bar, claim));
	}));
}

export default async function coupons({ signal }) {
	const [offered, mine] = await Promise.all([shop.coupons(), buyer() ? shop.myCoupons() : []]);
	return [
		heading(t.coupons),
		h('section', {}, h('h2', {}, t.claimable), offered.length ? couponList(offered, mine, signal) : h('p', {}, t.noCoupons)),
		h('section', {}, h('h2', {}, t.mine), !buyer() ? h('p', {}, t.choose) : !mine.length ? h('p', {}, t.noMine)
			: h('ul', { class: 'coupons' }, mine.map((issue) => h('li', { class: issue.status === 'ACTIVE' ? 'coupon' : 'coupon used' },
				h('div', {}, h('h3', {}, issue.name), h('p', {}, worth(issue)), h('p', { class: 'quiet' }, t.expires(time(issue.expires_at)))),
				h('p', { class: 'badge' }, t.issue[issue.status] ?? issue.status))))),
	];
}

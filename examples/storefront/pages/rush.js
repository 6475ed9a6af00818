// A hundred buyers for twenty coupons. Whoever has this page open sees how many are left.

import { attempt, complain, tell } from '../app.js';
import { button, every, h, say } from '../dom.js';
import * as shop from '../shop.js';
import { number, t } from '../texts.js';
import { heading } from './parts.js';

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const lasts = 8000; // so long it takes until the last buyer has come

export default async function rush({ signal }) {
	const left = h('strong', { id: 'rush-left' }, '–');
	const bar = h('progress', { max: 20, value: 0, 'aria-label': t.leftNow });
	const count = (id, text) => ({ place: h('dd', { id }, '0'), text });
	const [got, late, seconds] = [count('rush-got', t.got), count('rush-late', t.tooLate), count('rush-seconds', t.seconds)];
	const squares = Array.from({ length: 100 }, () => h('li', {}));
	const verdict = h('p', { id: 'rush-verdict', role: 'status' });
	let coupon, running = false; // undefined: not looked yet; null: there is none

	const look = async () => seen(await shop.newestCoupon('Rush'));
	function seen(now) {
		// an answer that was overtaken is old
		if (signal.aborted || now && now.id === coupon?.id && now.remaining > coupon.remaining) return;
		if (now && coupon !== undefined) {
			if (now.id !== coupon?.id && !running) say(verdict, '');
			const before = now.id === coupon?.id ? coupon.remaining : now.quantity;
			// spoken now and then: twenty numbers in two seconds are too many
			if ([10, 5, 0].some((n) => now.remaining <= n && before > n)) tell(now.remaining ? `${number(now.remaining)} ${t.leftNow}` : t.lastGone);
			if (!now.remaining && before && !running) say(verdict, t.lastGone);
		}
		coupon = now;
		say(left, now ? number(now.remaining) : '–');
		bar.max = now?.quantity ?? 20;
		bar.value = now?.remaining ?? 0;
		if (!now && !running) say(verdict, t.noRush);
	}

	async function race() {
		const { coupon_id: id, quantity, tokens } = await shop.demo('rush');
		running = true;
		say(verdict, '');
		for (const square of squares) square.className = 'waiting';
		const began = performance.now();
		const tally = { got: 0, late: 0, failed: 0 };
		const passed = () => ((performance.now() - began) / 1000).toFixed(1);
		let last;
		await Promise.all(tokens.map(async (token, i) => {
			await wait(Math.random() * lasts);
			if (signal.aborted) return;
			squares[i].className = 'asking';
			try {
				await shop.claimCouponAs(token, id);
				last = { buyer: i + 1, seconds: passed() };
				tally.got++;
				squares[i].className = 'got';
				seen({ id, quantity, remaining: quantity - tally.got });
			} catch (error) {
				const expected = error.code === 'COUPON_SOLD_OUT';
				tally[expected ? 'late' : 'failed']++;
				squares[i].className = expected ? 'late' : 'failed';
				if (!expected) complain(error);
			}
			say(got.place, number(tally.got));
			say(late.place, number(tally.late));
			say(seconds.place, passed());
		}));
		running = false;
		if (signal.aborted) return;
		await look();
		say(verdict, `${last ? t.theLast(last.buyer, last.seconds) : ''} ${t.verdict(number(tally.got), number(coupon.remaining), number(tally.late))}`);
	}

	const start = button(t.start, attempt(async () => {
		say(start, t.running);
		tell(t.running);
		try { await race(); } finally { say(start, t.start); }
	}), { class: 'primary', id: 'rush-start' });

	await look();
	every(500, signal, () => look().catch(complain));
	return [
		heading(t.rush),
		h('p', { class: 'lead' }, t.rushIntro),
		h('p', {}, start),
		h('div', { class: 'rush' },
			h('div', { class: 'rush-left' }, h('p', {}, left, ' ', h('span', {}, t.leftNow)), bar,
				h('dl', {}, [got, late, seconds].map(({ place, text }) => h('div', {}, h('dt', {}, text), place)))),
			h('figure', {}, h('ul', { class: 'squares', 'aria-hidden': 'true' }, squares), h('figcaption', { class: 'quiet' }, t.legend))),
		verdict,
	];
}

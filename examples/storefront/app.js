// Which page is shown, for whom, and in which language. The address after # says which page.

import * as basket from './basket.js';
import { h, put, say } from './dom.js';
import * as shop from './shop.js';
import { shopIs, speak, spoken, t } from './texts.js';
import best from './pages/best.js';
import catalogue from './pages/catalogue.js';
import checkout from './pages/checkout.js';
import coupons from './pages/coupons.js';
import order from './pages/order.js';
import orders from './pages/orders.js';
import product from './pages/product.js';
import rush from './pages/rush.js';

const pages = { '': catalogue, best, coupons, rush, basket: checkout, orders, order, product };
const menu = [['', 'catalogue'], ['best', 'best'], ['coupons', 'coupons'], ['rush', 'rush'], ['orders', 'orders'], ['basket', 'basket']];
const $ = (id) => document.getElementById(id);

let settings;
let leaving = new AbortController();

const where = () => {
	const [path, query] = location.hash.slice(1).split('?');
	const [, name = '', id] = path.split('/');
	return { name, id, query: new URLSearchParams(query) };
};
export const href = (name, query = {}) => {
	const asked = new URLSearchParams(Object.entries(query).filter(([, v]) => v)).toString();
	return `#/${name}${asked && `?${asked}`}`;
};

// What happened, for a screen reader; and what went wrong, for everybody.
export const tell = (text) => say($('live'), text);
export function complain(error) {
	if (error) console.debug(error);
	$('notice').hidden = !error;
	say($('notice'), error ? explain(error) : '');
}
export function explain(error) {
	if (error.code === 'UNREACHABLE') return t.unreachable;
	if (!(error instanceof shop.Refusal)) return `${t.broken} ${error.message}`;
	const { available, reason } = error.details;
	return [error.message, available !== undefined && t.left(available), reason].filter(Boolean).join(' · ');
}
// For what buttons do: what is refused is shown, and a second press waits until the first is done. The button is not
// disabled meanwhile, because that would take the focus from it.
export function attempt(f) {
	let busy = false;
	return async (event) => {
		if (busy) return;
		busy = true;
		try {
			complain();
			await f(event);
		} catch (error) {
			complain(error);
		} finally {
			busy = false;
		}
	};
}

export const buyer = () => settings.buyers.find((b) => String(b.id) === sessionStorage.getItem('storefront.buyer'));

function frame() {
	const { name } = where();
	put($('nav'), menu.map(([page, text]) => h('a', { href: href(page), 'aria-current': page === name ? 'page' : null }, t[text],
		page === 'basket' && basket.count() > 0 && h('span', { class: 'count' }, String(basket.count())))));
	$('nav').setAttribute('aria-label', t.menu);
	say($('skip'), t.skip);
	say($('footer'), t.footer);
	say($('buyer-label'), t.buyer);
	say($('language'), t.other);
	$('language').lang = spoken() === 'ko' ? 'en' : 'ko';
	put($('buyer'), h('option', { value: '' }, t.nobody), settings.buyers.map((b) => h('option', { value: String(b.id) }, b.name)));
	$('buyer').value = buyer()?.id ?? '';
}

// Shows the page of the address; its parts ask the shop until `signal` says that it is left.
async function show({ focus = true } = {}) {
	leaving.abort();
	leaving = new AbortController();
	const { signal } = leaving;
	const { name, id, query } = where();
	complain();
	frame();
	let content;
	try {
		const page = Object.hasOwn(pages, name) && pages[name];
		content = page ? await page({ id, query, signal }) : [h('h1', {}, t.notFound)];
	} catch (error) {
		if (signal.aborted) return;
		complain(error);
		content = [h('h1', {}, t.broken)];
	}
	if (signal.aborted) return;
	put($('content'), content);
	document.title = `${$('content').querySelector('h1')?.textContent ?? ''} · Haru`;
	if (focus) {
		$('content').focus({ preventScroll: true });
		scrollTo(0, 0);
	}
}
export const again = () => show({ focus: false });

async function start() {
	speak(spoken());
	settings = await shop.open();
	shopIs(settings);
	shop.use({ as: buyer()?.token, speaking: spoken() });
	$('language').addEventListener('click', () => {
		speak(spoken() === 'ko' ? 'en' : 'ko');
		shop.use({ speaking: spoken() });
		again();
	});
	$('buyer').addEventListener('change', () => {
		sessionStorage.setItem('storefront.buyer', $('buyer').value);
		shop.use({ as: buyer()?.token ?? null });
		again();
	});
	$('skip').addEventListener('click', (event) => { event.preventDefault(); $('content').focus(); });
	window.addEventListener('hashchange', () => show());
	basket.onChange(frame);
	await show({ focus: false });
}

start().catch((error) => complain(new shop.Refusal({ code: 'UNREACHABLE', message: error.message })));

// The operator's page: asks shop_status every few seconds with the token that was typed in, and shows it. What comes from the shop is
// set as text, never as HTML. The page stands in its HTML; here it is filled, and only what has changed.

const interval = 5000;
const patience = 10000;
const $ = id => document.getElementById(id);

let token = sessionStorage.getItem('commerce.token');
let language = sessionStorage.getItem('commerce.language') || (/^ko\b/.test(navigator.language) ? 'ko' : 'en');
let t = texts[language];
let status = null; // the last answer
let gone = null; // why there is none: a key of the texts, or a text
let books = { state: 'unchecked' };
let timer;

// Texts

const problemAreas = {
	JOBS_OVERDUE: 'jobs', JOB_FAILED: 'jobs', JOBS_NOT_SCHEDULED: 'jobs',
	NO_WORKER: 'worker', OVERDUE_ORDERS: 'worker', REBASING: 'worker',
	NO_RELAY: 'delivery', DELIVERY_FAILS: 'delivery', SUBSCRIPTION_BEHIND: 'delivery', SUBSCRIPTION_PAUSED: 'delivery', DEAD_LETTERS: 'delivery', DEAD_PAYMENT_RESULTS: 'delivery', OUTBOX_HELD: 'delivery',
	HORIZON_HELD: 'horizon',
	BOOKS_WRONG: 'books',
};
const counted = 10000; // shop_status counts no further

const number = n => n === null ? '–' : n.toLocaleString(language);
const upTo = n => n >= counted ? t.upTo(number(counted)) : number(n);
function money(amount) {
	const { code, decimals } = status.currency;
	return new Intl.NumberFormat(language, { style: 'currency', currency: code, minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(amount / 10 ** decimals);
}
function format(moment, options) {
	return new Intl.DateTimeFormat(language, { timeZone: status?.timezone, ...options }).format(new Date(moment));
}
const clock = moment => format(moment, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const at = moment => format(moment, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
function duration(seconds) {
	const [unit, size] = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]].find(([, s]) => Math.abs(seconds) >= s) ?? ['second', 1];
	return { unit, amount: Math.round(seconds / size) };
}
function lasting(seconds) {
	const { unit, amount } = duration(seconds);
	return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short' }).format(amount);
}
function ago(moment) {
	const { unit, amount } = duration((new Date(moment) - new Date(status.as_of)) / 1000);
	return new Intl.RelativeTimeFormat(language, { style: 'short' }).format(amount, unit);
}
const when = moment => moment ? `${ago(moment)} · ${at(moment)}` : '–';

// Elements

function element(tag, text, style) {
	const e = document.createElement(tag);
	if (text !== undefined) e.textContent = text;
	if (style) e.className = style;
	return e;
}
// Replaces what is in an element, unless it would be the same: a screen reader, a selection and a focus stay where they are.
function fill(parent, children) {
	if (parent.childElementCount === children.length && children.every((child, i) => child.isEqualNode(parent.children[i]))) return;
	parent.replaceChildren(...children);
}
function say(id, text, style = '') {
	if ($(id).textContent !== text) $(id).textContent = text;
	$(id).className = style;
}
const marked = (level, text) => `${{ good: '✓', warning: '!', bad: '✗' }[level]} ${text}`;

// columns: [key of the title, row => text, style or row => style]
function table(id, rows, columns) {
	const styled = (style, row) => (typeof style === 'function' ? style(row) : style) || '';
	const part = (tag, role, text, style) => {
		const e = element(tag, text, style);
		e.setAttribute('role', role);
		return e;
	};
	const titles = part('tr', 'row');
	for (const [title, , style] of columns) titles.append(part('th', 'columnheader', t[title], styled(style, {}).startsWith('number') ? 'number' : ''));
	fill($(id).parentElement.tHead, [titles]);
	const lines = rows.map(row => {
		const tr = part('tr', 'row');
		for (const [title, value, style] of columns) {
			const td = part('td', 'cell', value(row), styled(style, row));
			if (td.textContent === '–') td.classList.add('none');
			td.dataset.title = t[title];
			tr.append(td);
		}
		return tr;
	});
	if (!rows.length) {
		const tr = part('tr', 'row'), td = part('td', 'cell', t.nothing, 'nothing');
		td.colSpan = columns.length;
		tr.append(td);
		lines.push(tr);
	}
	fill($(id), lines);
}
function list(id, entries) {
	fill($(id), entries.map(([title, value, style]) => {
		const d = element('div');
		d.append(element('dt', title), element('dd', value, style));
		return d;
	}));
}

// Bars with axes: titles(i) is what the i-th says, ticks are the ones that are named below the axis.
function chart(id, values, titles, ticks, label) {
	const width = Math.max($(id).clientWidth, 240), height = 190, left = 46, right = 12, top = 10, bottom = 24;
	const most = Math.max(...values.map(v => v ?? 0));
	const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
	const scale = Math.max(2, [1, 2, 4, 6, 8, 10].map(n => n * power).find(n => n >= most));
	const draw = (name, attributes, text) => {
		const e = document.createElementNS('http://www.w3.org/2000/svg', name);
		for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
		if (text !== undefined) e.textContent = text;
		return e;
	};
	const y = value => top + (height - top - bottom) * (1 - value / scale);
	const step = (width - left - right) / values.length;
	const svg = draw('svg', { role: 'img', 'aria-label': label, viewBox: `0 0 ${width} ${height}` });
	for (const value of [0, scale / 2, scale]) {
		svg.append(draw('line', { x1: left, x2: width - right, y1: y(value), y2: y(value), class: value ? '' : 'axis' }),
			draw('text', { x: left - 6, y: y(value) + 4, 'text-anchor': 'end' }, number(value)));
	}
	svg.append(draw('line', { x1: left, x2: left, y1: top, y2: y(0), class: 'axis' }));
	values.forEach((value, i) => {
		if (!value) return;
		const bar = draw('rect', { x: left + i * step + step * 0.1, y: y(value), width: step * 0.8, height: y(0) - y(value) });
		bar.append(draw('title', {}, titles(i)));
		svg.append(bar);
	});
	for (const [i, text] of ticks) {
		const x = left + (i + 0.5) * step;
		svg.append(draw('line', { x1: x, x2: x, y1: y(0), y2: y(0) + 4, class: 'axis' }),
			draw('text', { x, y: height - 6, 'text-anchor': x > width - 30 ? 'end' : x < left + 20 ? 'start' : 'middle' }, text));
	}
	fill($(id), [svg]);
}
const few = (values, most) => { const every = Math.ceil(values.length / most); return values.filter((_, i) => (values.length - 1 - i) % every === 0); };

// The page

function showProblems(problems) {
	$('problems-section').hidden = !problems.length;
	fill($('problems'), problems.map(p => {
		const level = p.bad ? 'bad' : 'warning';
		const [what, todo] = t.problem[p.code]?.({ ...p, count: p.count && upTo(p.count) }) ?? [[p.code, p.subject, p.detail].filter(Boolean).join(' '), ''];
		const li = element('li', marked(level, what), level);
		li.append(element('p', [p.since && t.since(when(p.since)), todo].filter(Boolean).join('. ')));
		return li;
	}));
}

function showHealth(s) {
	const level = area => {
		const its = s.problems.filter(p => problemAreas[p.code] === area);
		return its.some(p => p.bad) ? 'bad' : its.length ? 'warning' : 'good';
	};
	const counts = area => t.verdict(...[true, false].map(bad => s.problems.filter(p => problemAreas[p.code] === area && p.bad === bad).length));
	const good = {
		jobs: t.jobsGood(s.jobs.filter(j => j.state === 'OK').length),
		worker: s.worker ? t.workerStates[s.worker] ?? s.worker : t.noWorker,
		delivery: t.deliveryGood(s.subscriptions.length),
		horizon: s.horizon?.since ? t.horizonYoung(ago(s.horizon.since)) : t.horizonGood,
	};
	const entries = Object.keys(good).map(area => {
		const l = level(area);
		return [t.areas[area], marked(l, l === 'good' ? good[area] : counts(area)), l];
	});
	const scrubbed = level('books');
	entries.push([t.areas.books, {
		unchecked: () => scrubbed === 'good' ? t.unchecked : marked(scrubbed, counts('books')), checking: () => t.checking,
		good: () => marked('good', t.booksGood(at(books.at))),
		bad: () => marked('bad', t.booksBad(books.violations.map(v => `${v.invariant} (${number(v.violations)})`).join(', '))),
		failed: () => marked('warning', t.booksFailed(books.why)),
	}[books.state](), { good: 'good', bad: 'bad', failed: 'warning' }[books.state] ?? (scrubbed === 'good' ? 'quiet' : scrubbed)]);
	list('health', entries);
}

function showCharts(s) {
	const minutes = s.orders.per_minute.map((_, i) => Date.parse(s.as_of) - (59 - i) * 60000);
	chart('per-minute', s.orders.per_minute, i => t.minuteOf(number(s.orders.per_minute[i]), clock(minutes[i])),
		few(minutes.map((m, i) => [i, clock(m)]), $('per-minute').clientWidth < 420 ? 4 : 7),
		`${t.ordersPerMinute}. ${t.most} ${number(Math.max(...s.orders.per_minute))}, ${t.latest} ${number(s.orders.per_minute[59])}`);
	const units = s.units_per_day.map(d => d.units);
	const day = i => new Intl.DateTimeFormat(language, { month: 'numeric', day: 'numeric', timeZone: 'UTC' }).format(new Date(s.units_per_day[i].day));
	chart('per-day', units, i => t.dayOf(number(units[i]), day(i)), few(units.map((_, i) => [i, day(i)]), $('per-day').clientWidth < 420 ? 4 : 7),
		`${t.unitsPerDay}. ${t.most} ${number(Math.max(...units))}, ${t.latest} ${number(units[13])}`);
}

function showStatus(s) {
	showProblems(s.problems);
	showHealth(s);
	const urgent = ['OVERDUE_ORDERS', 'FAILED_REFUNDS', 'UNEXPECTED_PAYMENTS', 'DEAD_LETTERS', 'DEAD_PAYMENT_RESULTS'];
	table('waiting', s.waiting.filter(w => w.count), [
		['kind', w => t.kinds[w.kind] ?? w.kind],
		['count', w => urgent.includes(w.kind) ? marked('bad', upTo(w.count)) : upTo(w.count), w => urgent.includes(w.kind) ? 'number bad' : 'number'],
		['oldest', w => w.oldest ? ago(w.oldest) : '–', 'time']]);
	table('running-out', s.running_out, [
		['product', r => r.name, 'long'], ['seller', r => r.seller_name ?? t.shop, 'long'], ['stock', r => number(r.stock), 'number'],
		['lasts', r => r.stock ? t.days(number(Math.round(r.lasts_days * 10) / 10)) : marked('bad', t.soldOut), r => r.stock ? 'time' : 'time bad']]);
	table('popular', s.popular_products, [
		['product', r => r.name, 'long'], ['price', r => money(r.price_now), 'number'], ['units', r => number(r.units_sold), 'number']]);
	say('orders-title', t.ordersSince(at(s.orders.since)));
	list('orders', [[t.placed, number(s.orders.placed)], [t.paid, number(s.orders.paid)], [t.revenue, money(s.orders.revenue)], [t.refunded, money(s.orders.refunded)],
		[t.sheets, number(s.sheets.last_hour)], [t.conversion, s.sheets.last_hour ? `${Math.round(100 * s.sheets.ordered / s.sheets.last_hour)} %` : '–']]);
	showCharts(s);
	table('subscriptions', s.subscriptions, [
		['name', r => r.name, 'long'], ['state', r => t.states[r.state] ?? r.state, r => ({ WAITING: 'bad', PAUSED: 'warning' })[r.state]], ['destination', r => r.destination ?? '–', 'long'],
		['lag', r => upTo(r.lag_events), 'number'], ['late', r => lasting(r.lag_seconds), r => r.lag_seconds > 300 ? 'number warning' : 'number'], ['parked', r => number(r.parked), 'number'],
		['dead', r => number(r.dead_letters), r => r.dead_letters ? 'number bad' : 'number'], ['lastSuccess', r => when(r.last_success_at), 'time'],
		['lastError', r => r.last_error ? `${when(r.last_error_at)} · ${r.last_error}` : '–', 'long']]);
	const byWorker = r => r.state === 'NEVER' && ['WORKING', 'IDLE'].includes(s.worker) && ['fold', 'expire-pending-orders'].includes(r.name);
	table('jobs', s.jobs, [
		['name', r => r.name, 'long'], ['state', r => byWorker(r) ? t.byWorker : t.states[r.state] ?? r.state, r => byWorker(r) ? '' : { OVERDUE: 'bad', FAILED: 'bad', NEVER: 'warning' }[r.state]], ['schedule', r => r.schedule, 'time'],
		['lastRun', r => when(r.last_finished_at), 'time'], ['rows', r => number(r.last_rows), 'number'], ['backlog', r => r.backlog === null ? '–' : number(r.backlog), 'number'], ['failures', r => number(r.failures), 'number'],
		['lastError', r => r.last_error ? `${when(r.last_error_at)} · ${r.last_error}` : '–', 'long']]);
	list('escrow', [[t.counters, number(s.escrow.counters)], [t.inFlight, number(s.escrow.in_flight)], [t.waiters, number(s.escrow.waiters), s.escrow.waiters ? 'warning' : '']]);
}

function showAll() {
	document.documentElement.lang = language;
	for (const e of document.querySelectorAll('[data-text]')) if (e.textContent !== t[e.dataset.text]) e.textContent = t[e.dataset.text];
	for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t[e.dataset.label]);
	for (const e of document.querySelectorAll('[data-language]')) e.setAttribute('aria-pressed', e.dataset.language === language);
	$('login').hidden = Boolean(token);
	$('forget').hidden = !token;
	$('main').hidden = !status;
	$('gone').hidden = !gone;
	$('check').disabled = books.state === 'checking' || Boolean(gone);
	document.body.className = gone ? 'gone' : '';
	say('gone', gone ? t.gone(status ? at(status.as_of) : t.never, t[gone] ?? gone) : '', 'alarm');
	if (status) showStatus(status);
	const bad = status?.problems.filter(p => p.bad).length, warnings = status?.problems.length - bad;
	const level = gone || bad ? 'bad' : warnings ? 'warning' : 'good';
	say('verdict', gone ? marked('bad', t.goneTitle) : status ? marked(level, t.verdict(bad, warnings)) : '', level);
	say('as-of', status ? t.asOf(at(status.as_of), status.version) : '');
	document.title = ($('verdict').textContent ? `${$('verdict').textContent} · ` : '') + 'commerce';
}

// The server

async function ask(name) {
	try {
		const response = await fetch(name, { headers: { Authorization: `Bearer ${token}`, Accept: 'application/json', 'Accept-Language': language }, cache: 'no-store', referrerPolicy: 'no-referrer', signal: AbortSignal.timeout(patience) });
		const body = await response.json();
		return { code: response.status, data: response.ok ? body.data : undefined, why: [body.message, body.details].filter(x => typeof x === 'string').join(': ') };
	} catch (error) {
		return { code: 0, why: error.name === 'TimeoutError' ? 'timeout' : error.name === 'SyntaxError' ? 'wrongAnswer' : 'noAnswer' };
	}
}

function forget(why) {
	clearTimeout(timer);
	sessionStorage.removeItem('commerce.token');
	[token, status, gone, books] = [null, null, null, { state: 'unchecked' }];
	for (const e of document.querySelectorAll('tbody, #problems, dl, .chart, #orders-title')) e.replaceChildren();
	showAll();
	$('why').textContent = why;
	$('token').focus();
}

async function load() {
	clearTimeout(timer);
	const asked = token;
	const answer = await ask('shop_status');
	if (asked !== token) return;
	if (answer.code === 401) return forget(t.tokenEnded(answer.why));
	if (answer.code === 403) return forget(t.notAdmin(answer.why));
	if (answer.data?.as_of) {
		[status, gone] = [answer.data, null];
		sessionStorage.setItem('commerce.token', token);
	} else {
		gone = answer.why || 'wrongAnswer';
	}
	const first = $('main').hidden;
	showAll();
	if (first) $('main').focus(); // it was in the form that is gone now
	timer = setTimeout(load, interval);
}

$('login').addEventListener('submit', event => {
	event.preventDefault();
	const given = $('token').value.trim();
	$('token').value = '';
	if (!/^[\w.~+/=-]+$/.test(given)) {
		$('why').textContent = t.noToken;
		return;
	}
	$('why').textContent = '';
	token = given;
	showAll();
	load();
});
$('forget').addEventListener('click', () => forget(''));
$('check').addEventListener('click', async () => {
	const asked = token;
	books = { state: 'checking' };
	showAll();
	const answer = await ask('check_invariants');
	if (asked !== token) return;
	if (!Array.isArray(answer.data)) books = { state: 'failed', why: t[answer.why] ?? answer.why };
	else books = { state: answer.data.length ? 'bad' : 'good', violations: answer.data, at: Date.now() };
	showAll();
});
for (const e of document.querySelectorAll('[data-language]')) {
	e.addEventListener('click', () => {
		language = e.dataset.language;
		t = texts[language];
		sessionStorage.setItem('commerce.language', language);
		showAll();
	});
}
addEventListener('resize', () => status && showCharts(status));

showAll();
if (location.hash) {
	// what somebody put there, a token perhaps, stays in no history
	history.replaceState(null, '', location.pathname);
	if (!token) $('why').textContent = t.tokenInAddress;
}
if (token) load();
else $('token').focus();

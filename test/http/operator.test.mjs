// The operator's page in a browser, in every state that it has to show.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { close, picture, skip, visit, worstContrast } from './browser.mjs';
import { admin, call, direct, http, newBuyer, newProduct, token, tokenOf } from './shop.mjs';

const address = `${direct}/rpc/operator`;
after(close);
const open = (t, { url = address, ...more } = {}) => visit(t, url, more);

async function enter(page, value = tokenOf(admin)) {
  await page.locator('#token').fill(value);
  await page.locator('#token').press('Enter');
}

// What shop_status answers: the truth, changed.
async function answer(page, change) {
  const { json } = await http('/rpc/shop_status', { who: admin });
  change(json.data);
  await page.route('**/rpc/shop_status', (route) => route.fulfill({ json }));
}

const minutes = (n, seconds = 0) => new Date(Date.now() - n * 60000 - seconds * 1000).toISOString();
const text = (page, selector) => page.locator(selector).innerText();

function well(s) {
  s.problems = [];
  s.worker = 'WORKING';
  s.horizon = null;
  for (const w of s.waiting) Object.assign(w, { count: 0, oldest: null });
  s.jobs.forEach((j) => Object.assign(j, { state: 'OK', last_finished_at: minutes(0, 20), last_rows: 3, backlog: 0, failures: 0, last_error: null, last_error_at: null }));
  Object.assign(s, { subscriptions: [], popular_products: [], running_out: [], sheets: { last_hour: 0, ordered: 0 } });
  Object.assign(s.orders, { since: minutes(59), placed: 0, paid: 0, revenue: 0, refunded: 0, per_minute: Array(60).fill(0) });
  s.units_per_day.forEach((d) => { d.units = 0; });
}

const subscription = (more) => ({ state: 'DELIVERING', destination: 'https://warehouse.example/events', lag_events: 3, lag_seconds: 0.4, parked: 0, dead_letters: 0,
  paused_at: null, pause_reason: null, last_success_at: minutes(0, 4), last_error: null, last_error_at: null, ...more });

function busy(s) {
  well(s);
  const names = ['Celadon teapot with lid, handmade in Icheon', '말차 보리차 선물 세트', 'Desk lamp', 'Cup', 'Candle, lavender'];
  s.popular_products = names.map((name, i) => ({ rank: i + 1, product_id: i + 1, name, price: 40000 - i * 7000, price_now: 36000 - i * 6500, units_sold: 1830 - i * 311, as_of: minutes(0, 20) }));
  s.running_out = [{ product_id: 3, name: names[2], seller_name: 'Yuna Lights', stock: 0, units_sold: 1208, lasts_days: 0 }, { product_id: 1, name: names[0], seller_name: 'Dowon Ceramics', stock: 311, units_sold: 1830, lasts_days: 0.44 },
    { product_id: 2, name: names[1], seller_name: null, stock: 1400, units_sold: 1519, lasts_days: 2.37 }];
  const counts = { RETURNS: [14, 2900], EXCHANGES: [2, 400], CANCELLATIONS: [5, 90], UNPAID_ORDERS: [231, 9], REFUNDS: [8, 35] };
  for (const w of s.waiting) if (counts[w.kind]) Object.assign(w, { count: counts[w.kind][0], oldest: minutes(counts[w.kind][1]) });
  s.orders.per_minute = Array.from({ length: 60 }, (_, i) => Math.round(40 + 25 * Math.sin(i / 7) + (i > 44 ? 95 : 0) + (i * 37) % 11));
  Object.assign(s.orders, { placed: 4312, paid: 4081, revenue: 187450300, refunded: 2310000 });
  s.sheets = { last_hour: 5120, ordered: 3980 };
  s.units_per_day.forEach((d, i) => { d.units = 3000 + (i * 977) % 2100; });
  s.subscriptions = [subscription({ name: 'warehouse' }), subscription({ name: 'lake', destination: 'orders.v1', lag_events: 812 }), subscription({ name: 'newsletter', state: 'PULLED', destination: null, last_success_at: null })];
  s.escrow = { counters: 1830, in_flight: 17, waiters: 0 };
}

function broken(s) {
  busy(s);
  const overdue = s.jobs.filter((j) => j.name !== 'purge-outbox');
  overdue.forEach((j) => Object.assign(j, { state: 'OVERDUE', last_finished_at: minutes(3000) }));
  Object.assign(s.jobs.find((j) => j.name === 'purge-outbox'), { state: 'FAILED', failures: 12, last_error: 'could not extend file "base/16384/24601": No space left on device (SQLSTATE 53100)', last_error_at: minutes(2) });
  for (const w of s.waiting) {
    const counts = { OVERDUE_ORDERS: [44, 2990], FAILED_REFUNDS: [1, 500], UNEXPECTED_PAYMENTS: [2, 700], DEAD_LETTERS: [10000, 1200] };
    if (counts[w.kind]) Object.assign(w, { count: counts[w.kind][0], oldest: minutes(counts[w.kind][1]) });
  }
  s.subscriptions[0] = subscription({ name: 'warehouse', state: 'WAITING', lag_events: 10000, lag_seconds: 86400 * 2, dead_letters: 10000, last_success_at: minutes(3000), last_error: 'HTTP status 503', last_error_at: minutes(2999) });
  s.subscriptions[1] = subscription({ name: 'lake', state: 'PAUSED', paused_at: minutes(600), pause_reason: 'moving to the new cluster' });
  const problem = (code, bad, more) => ({ code, bad, subject: null, count: null, since: null, detail: null, ...more });
  s.problems = [problem('DEAD_LETTERS', true, { count: 10000, since: minutes(1200) }), problem('JOBS_OVERDUE', true, { subject: overdue.map((j) => j.name).join(', '), count: overdue.length, since: minutes(3000) }),
    problem('JOB_FAILED', true, { subject: 'purge-outbox', detail: s.jobs.find((j) => j.name === 'purge-outbox').last_error, since: minutes(2) }), problem('NO_RELAY', true, { subject: 'warehouse', count: 1, since: minutes(3000) }),
    problem('OVERDUE_ORDERS', true, { count: 44, since: minutes(2990) }),
    problem('HORIZON_HELD', false, { subject: '4711', detail: 'session, shop, reports psql idle in transaction', since: minutes(17) }), problem('SUBSCRIPTION_PAUSED', false, { subject: 'lake', detail: 'moving to the new cluster', since: minutes(600) })];
  s.horizon = { kind: 'session', database: 'shop', holder: '4711', since: minutes(17), age: 51234 };
}

const states = { empty: well, busy, broken };

test('the page runs its own script and nothing else', { skip }, async () => {
  const { headers, text: html } = await http('/rpc/operator', { url: direct, headers: { Accept: 'text/html' } });
  const policy = headers.get('content-security-policy');
  assert.doesNotMatch(policy, /unsafe|\*|https?:|data:|blob:/);
  for (const part of ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) assert.ok(policy.includes(part), part);
  assert.deepEqual(['referrer-policy', 'cache-control', 'x-content-type-options'].map((h) => headers.get(h)), ['no-referrer', 'no-store', 'nosniff']);
  assert.doesNotMatch(html, /@web|<script><\/script>|<style><\/style>|\son\w+=|javascript:/);
  // the script is one; the HTML has neither styles nor handlers
  assert.deepEqual([html.match(/<script/g).length, html.match(/<style/g).length, html.match(/ style=/)], [1, 1, null]);
});

test('every problem and everything that waits has its words in both languages', () => {
  const status = readFileSync(join(import.meta.dirname, '../../sql/install/api/status.sql'), 'utf8');
  const codes = [...status.matchAll(/^\tSELECT '([A-Z_]+)', /gm)].map((m) => m[1]).concat(status.match(/w\.kind IN \(([^)]*)\)/)[1].match(/[A-Z_]+/g));
  assert.ok(codes.length > 14, codes.join());
  const kinds = status.match(/unnest\('\{(RETURNS[^}]*)\}'/)[1].split(',');
  const words = readFileSync(join(import.meta.dirname, '../../web/operator.texts.js'), 'utf8');
  const script = readFileSync(join(import.meta.dirname, '../../web/operator.js'), 'utf8');
  const texts = new Function(`${words}; return texts;`)();
  for (const language of ['en', 'ko']) {
    for (const code of codes) assert.equal(typeof texts[language].problem[code], 'function', `${language} ${code}`);
    assert.deepEqual(Object.keys(texts[language].kinds).sort(), kinds.toSorted(), language);
    assert.deepEqual(Object.keys(texts[language].problem).sort(), codes.toSorted(), language);
  }
  const keys = (object) => Object.entries(object).flatMap(([k, v]) => (typeof v === 'object' ? Object.keys(v).map((i) => `${k}.${i}`) : k));
  assert.deepEqual(keys(texts.ko).sort(), keys(texts.en).sort());
  for (const [, key] of script.matchAll(/\bt\.(\w+)/g)) assert.ok(texts.en[key], `a text for ${key}`);
});

test('the token is typed in, kept in the tab, and forgotten', { skip }, async (t) => {
  const page = await open(t);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'token');
  assert.equal(await page.locator('#token').getAttribute('type'), 'password');
  assert.equal(await page.locator('main').isVisible(), false);
  await picture(page, 'login');
  await enter(page, 'no token at all');
  assert.match(await text(page, '#why'), /no token/);
  await enter(page);
  await page.locator('main').waitFor();
  assert.match(await text(page, '#as-of'), /version \d/);
  assert.equal(await page.locator('#login').isVisible(), false);
  assert.doesNotMatch(await page.content(), /eyJ/);
  await page.reload();
  await page.locator('main').waitFor();
  assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie, location.href]), [0, '', address]);
  await page.locator('#forget').click();
  assert.deepEqual(await page.evaluate(() => [sessionStorage.getItem('commerce.token'), document.querySelectorAll('td').length]), [null, 0]);
  assert.equal(await page.locator('#login').isVisible(), true);
});

test('a token in the address is not used, and stays in no history', { skip }, async (t) => {
  const page = await open(t, { url: `${address}#${tokenOf(admin)}` });
  assert.equal(page.url(), address);
  assert.equal(await page.locator('main').isVisible(), false);
  assert.match(await text(page, '#why'), /address/);
  const asked = await http(`/rpc/operator?token=${tokenOf(admin)}`, { url: direct, headers: { Accept: 'text/html' } });
  assert.equal(asked.status, 404);
});

test('a token that is somebody else\'s, or has ended, is told', { skip }, async (t) => {
  const page = await open(t);
  const buyer = await newBuyer(0);
  await enter(page, tokenOf(buyer.who));
  await page.locator('#why:has-text("not an administrator")').waitFor();
  await enter(page, token({ role: 'api_admin', sub: '1', exp: Math.floor(Date.now() / 1000) - 100 }));
  await page.locator('#why:has-text("no longer")').waitFor();
  // while the page is open: what was shown is gone, too
  await enter(page);
  await page.locator('main').waitFor();
  await page.route('**/rpc/shop_status', (route) => route.fulfill({ status: 401, json: { code: 'PGRST303', message: 'JWT expired', details: null, hint: null } }));
  await page.locator('#why:has-text("JWT expired")').waitFor();
  assert.deepEqual(await page.evaluate(() => [document.querySelectorAll('td').length, sessionStorage.getItem('commerce.token'), document.title]), [0, null, 'commerce']);
  await picture(page, 'token-ended');
});

test('a server that is gone, that hangs or errs is told, and comes back', { skip }, async (t) => {
  const page = await open(t);
  await enter(page);
  await page.locator('main').waitFor();
  const shown = await text(page, '#as-of');
  await page.clock.install();
  for (const [how, handle] of [
    ['no connection', (route) => route.abort()],
    ['schema cache', (route) => route.fulfill({ status: 503, json: { code: 'PGRST002', message: 'Could not query the database for the schema cache', details: null, hint: null } })],
    ['not the shop', (route) => route.fulfill({ body: '<html>proxy</html>' })],
    ['10 seconds', () => {}]]) {
    await page.route('**/rpc/shop_status', handle);
    for (let i = 0; i < 4; i++) await page.clock.runFor(5000);
    await page.locator(`#gone:has-text("${how}")`).waitFor();
    assert.match(await text(page, '#gone'), /No answer since \w+ \d/);
    assert.match(await text(page, '#verdict'), /✗/);
    assert.match(await page.title(), /✗ no answer/);
    assert.equal(await text(page, '#as-of'), shown, 'the time is that of what is shown');
    assert.ok(await page.evaluate(() => Number(getComputedStyle(document.querySelector('main')).opacity)) < 1, 'old figures are faint');
    await picture(page, 'gone');
    await page.unroute('**/rpc/shop_status');
  }
  for (let i = 0; i < 4; i++) await page.clock.runFor(5000);
  await page.locator('#gone').waitFor({ state: 'hidden' });
  assert.notEqual(await text(page, '#as-of'), shown);
});

for (const [name, change] of Object.entries(states)) {
  test(`a shop that is ${name}, in either language, wide and narrow, light and dark`, { skip }, async (t) => {
    const page = await open(t);
    await answer(page, change);
    await enter(page);
    await page.locator('main').waitFor();
    for (const [language, scheme, width] of [['en', 'light', 1280], ['ko', 'dark', 1280], ['ko', 'light', 360], ['en', 'dark', 360]]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 800 });
      await page.locator(`button[lang=${language}]`).click();
      await page.locator('h1').click();
      await picture(page, `${name}-${language}-${scheme}-${width}`);
      assert.equal(await page.evaluate(() => document.documentElement.lang), language);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}: nothing is beyond the edge`);
      assert.match(await text(page, '#verdict'), { empty: /✓/, busy: /✓/, broken: /✗/ }[name]);
      assert.equal(await page.locator('#problems li').count(), { empty: 0, busy: 0, broken: 7 }[name]);
      assert.doesNotMatch(await text(page, 'body'), /undefined|NaN|null|Invalid|\[object/);
      if (width === 360) assert.equal(await page.locator('.many td:text-is("–"):visible').count(), 0, 'where rows are blocks, what is not there takes no line');
      const contrast = await page.evaluate(worstContrast);
      assert.ok(contrast.ratio >= 4.5, `${scheme}: contrast ${contrast.ratio} of "${contrast.text}"`);
    }
  });
}

test('the language is the browser\'s', { skip }, async (t) => {
  for (const [locale, language] of [['ko-KR', 'ko'], ['en-GB', 'en'], ['fr-FR', 'en']]) {
    const page = await open(t, { language: locale });
    assert.equal(await page.evaluate(() => document.documentElement.lang), language, locale);
  }
});

test('what is overdue is said with its date, and red', { skip }, async (t) => {
  const page = await open(t);
  await answer(page, broken);
  await enter(page);
  await page.locator('main').waitFor();
  const job = page.locator('#jobs tr', { hasText: 'popular-products' });
  assert.match(await job.innerText(), /overdue[^]*2 days ago · \w+ \d+, \d/);
  assert.equal(await job.locator('td.bad').innerText(), 'overdue');
  assert.match(await text(page, '#problems'), /10 jobs are overdue: .*popular-products/);
  assert.match(await text(page, '#problems'), /10,000 or more events were given up/);
  assert.match(await text(page, '#health'), /✗ 2 to be looked at now/);
  assert.match(await page.title(), /^✗ 5 to be looked at now, 2 to know about/);
});

test('figures are the shop\'s, money that was given back is no revenue, charts have axes', { skip }, async (t) => {
  const page = await open(t);
  const buyer = await newBuyer();
  const product = await newProduct({ name: 'Kettle', price: 30000 });
  const before = (await http('/rpc/shop_status', { who: admin })).data.orders;
  const first = await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 2 }] });
  await call(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 1 }] });
  assert.equal((await call(buyer.who, 'cancel_order', { order_id: first.data.id })).status, 200);
  const { data } = await http('/rpc/shop_status', { who: admin });
  assert.deepEqual([data.orders.placed - before.placed, data.orders.revenue - before.revenue, data.orders.refunded - before.refunded], [2, 30000, 60000]);
  await enter(page);
  await page.locator('main').waitFor();
  assert.match(await text(page, '#orders'), new RegExp(`₩${(before.revenue + 30000).toLocaleString('en')}`));
  for (const chart of ['#per-minute', '#per-day']) {
    assert.equal(await page.locator(`${chart} svg line.axis`).count() >= 5, true, `${chart} has axes`);
    assert.ok((await page.locator(`${chart} svg > text`).allTextContents()).length >= 7, `${chart}: they are labelled`);
    assert.match(await page.locator(`${chart} svg`).getAttribute('aria-label'), /most \d/);
  }
  assert.match((await page.locator('#per-minute svg > text').allTextContents()).at(-1), /^\d\d:\d\d$/);
  assert.ok(await page.locator('#per-minute rect').count() >= 1);
});

test('what the worker does is no job that is missing', { skip }, async (t) => {
  const page = await open(t);
  const withWorker = (worker) => answer(page, (s) => { well(s); s.jobs.forEach((j) => Object.assign(j, { state: 'NEVER', last_finished_at: null })); s.worker = worker; });
  await withWorker('IDLE');
  await enter(page);
  await page.locator('main').waitFor();
  assert.equal(await page.locator('#jobs td.warning').count(), (await page.locator('#jobs tr').count()) - 2);
  assert.match(await page.locator('#jobs tr', { hasText: 'fold' }).innerText(), /by the worker/);
  await page.unroute('**/rpc/shop_status');
  await withWorker(null);
  await page.locator('#jobs tr:has-text("fold"):has-text("never ran")').waitFor({ timeout: 20000 });
});

test('what the scrub has found is the state of the books', { skip }, async (t) => {
  const page = await open(t);
  await answer(page, (s) => {
    well(s);
    s.problems = [{ code: 'BOOKS_WRONG', bad: true, subject: 'stock is never negative', count: 1, since: minutes(5), detail: null }];
  });
  await enter(page);
  await page.locator('main').waitFor();
  assert.match(await text(page, '#health'), /✗ 1 to be looked at now/);
  assert.doesNotMatch(await text(page, '#health'), /not checked here/);
});

test('the books are checked when somebody asks', { skip }, async (t) => {
  const page = await open(t);
  await enter(page);
  await page.locator('main').waitFor();
  assert.match(await text(page, '#health'), /not checked here/);
  await page.locator('#check').click();
  await page.locator('#health:has-text("✓ right, checked")').waitFor();
  await page.route('**/rpc/check_invariants', (route) => route.fulfill({ json: { code: 'SUCCESS', message: '', data: [{ invariant: 'stock is never negative', violations: 3 }] } }));
  await page.locator('#check').click();
  await page.locator('#health:has-text("✗ wrong: stock is never negative (3)")').waitFor();
  await page.route('**/rpc/check_invariants', (route) => route.fulfill({ status: 429, json: { code: 'SERVICE_BUSY', message: 'busy', details: null, hint: null } }));
  await page.locator('#check').click();
  await page.locator('#health:has-text("not checked: busy")').waitFor();
});

test('keyboard and screen reader', { skip }, async (t) => {
  const page = await open(t);
  await page.keyboard.type(tokenOf(admin));
  await page.keyboard.press('Enter');
  await page.locator('main').waitFor();
  const reached = [];
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  for (const key of ['Shift+Tab', 'Shift+Tab', 'Shift+Tab', 'Tab', 'Tab', 'Tab']) {
    await page.keyboard.press(key);
    reached.push(await page.evaluate(() => document.activeElement.textContent));
  }
  assert.deepEqual(reached, ['Forget the token', 'English', '한국어', 'English', 'Forget the token', 'Check the books now']);
  // a refresh leaves the focus, and says nothing again that has not changed
  await page.evaluate(() => { window.changed = 0; new MutationObserver(() => { window.changed++; }).observe(document.getElementById('verdict'), { childList: true, subtree: true, characterData: true }); });
  const shown = await text(page, '#as-of');
  await page.waitForFunction((was) => document.getElementById('as-of').textContent !== was, shown, { timeout: 15000 });
  assert.deepEqual(await page.evaluate(() => [document.activeElement.id, window.changed]), ['check', 0]);
  await page.locator('button:has-text("한국어")').press('Enter');
  assert.equal(await text(page, '#waiting >> xpath=ancestor::section//h2'), '사람을 기다리는 것');
  assert.deepEqual(await page.locator('button[aria-pressed=true]').allInnerTexts(), ['한국어']);
  for (const role of ['main', 'banner']) assert.equal(await page.getByRole(role).count(), 1, role);
  assert.equal(await page.getByRole('table').count(), 5);
  await page.setViewportSize({ width: 360, height: 800 });
  assert.equal(await page.getByRole('table').count(), 5, 'also where rows are blocks');
  assert.equal(await page.getByRole('columnheader').count() > 20, true);
  assert.equal(await page.locator('section').evaluateAll((all) => all.filter((s) => !s.querySelector('h2')).length), 0);
});

// The storefront of examples/storefront in a browser, as scripts/storefront.mjs serves it for the demo.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { close, picture, skip, visit, worstContrast } from './browser.mjs';
import { admin, call, direct, http, newBuyer, newCoupon, newProduct, newSeller } from './shop.mjs';

const root = join(import.meta.dirname, '../..');
const files = join(root, 'examples/storefront');
let server;
let store;
before(async () => {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address();
  free.close();
  await once(free, 'close');
  server = spawn(process.execPath, [join(root, 'scripts/storefront.mjs'), files, join(import.meta.dirname, 'node_modules/@supabase/postgrest-js/dist/index.mjs'), String(port)], {
    env: { ...process.env, SHOP_URL: direct, JWT_SECRET: process.env.COMMERCE_JWT_SECRET, ADMIN_ID: admin.split(' ')[1], ROLE_PREFIX: 'api_' }, stdio: ['ignore', 'ignore', 'inherit'],
  });
  store = `http://127.0.0.1:${port}`;
  for (let i = 0; i < 100 && !await fetch(store).then((r) => r.ok, () => false); i++) await new Promise((done) => setTimeout(done, 100));
});
after(async () => { server?.kill(); await close(); });

const open = async (t, path = '', options = {}) => {
  const page = await visit(t, `${store}/${path}`, options);
  await page.locator('main h1').waitFor();
  return page;
};
const settings = async () => (await fetch(`${store}/settings.json`)).json();
const won = (amount) => `₩${amount.toLocaleString('en')}`;
const to = (page, path) => page.evaluate((hash) => { location.hash = hash; }, `#/${path}`);
// by hand: what a buyer would do to become one
const become = (page, index) => page.locator('#buyer').selectOption({ index });
const named = (page, role, name) => page.getByRole(role, { name, exact: true });

let made = 0;
const unique = () => `${process.pid}${Date.now() % 100000}${made++}`;

for (const [device, options] of [['wide', { width: 1280 }], ['narrow', { width: 380, scheme: 'dark' }]]) {
  test(`from the catalogue to an order and back, on a ${device} screen`, { skip }, async (t) => {
    const category = `pottery ${unique()}`;
    const { sellerId } = await newSeller();
    const pot = await newProduct({ name: `Pot ${category}`, category, price: 30000, stock: 9, seller_id: sellerId, shipping_fee: 3000, description: 'First line.\nSecond line.' });
    await newProduct({ name: 'Large pot', category, price: 50000, group_id: pot, seller_id: sellerId });
    for (let i = 0; i < 11; i++) await newProduct({ name: `Dish ${i}`, category, price: 1000 + i });
    const odd = await newProduct({ name: `100%_*(a,b)."\\ ${category}`, category, price: 500 });
    await call(admin, 'create_promotion', { product_id: pot, kind: 'PERCENT', value: 10, starts_at: new Date(Date.now() - 60000).toISOString(), ends_at: new Date(Date.now() + 86400000).toISOString() });
    const coupon = await newCoupon({ name: `First come ${category}`, value: 4000, quantity: 5, min_order_amount: 20000 });
    const { buyers } = await settings();
    const me = buyers[device === 'wide' ? 0 : 1];

    const page = await open(t, '', options);
    await page.locator('.tabs a', { hasText: category }).click();
    await page.locator('h1', { hasText: category }).waitFor();
    assert.equal(await page.locator('.tabs a[aria-current]').innerText(), `${category} 14`);
    assert.equal(await page.locator('.card').count(), 12);
    assert.match(await page.locator('main [role=status]').innerText(), /^12 of 14 shown/);
    await named(page, 'button', 'Show more').click();
    await page.locator('.card >> nth=13').waitFor();
    assert.equal(new Set(await page.locator('.card a').evaluateAll((all) => all.map((a) => a.href))).size, 14, 'each once');
    assert.equal(await named(page, 'button', 'Show more').isVisible(), false);
    await page.getByLabel('Order').selectOption('cheapest');
    await page.locator('.card:nth-child(3)', { hasText: 'Dish 1' }).waitFor();
    assert.deepEqual(await page.locator('.card .price strong').evaluateAll((all) => all.slice(0, 3).map((e) => e.textContent)), ['₩500', '₩1,000', '₩1,001']);
    await named(page, 'button', 'Show more').click();
    await page.locator('.card >> nth=13').waitFor();
    assert.equal(new Set(await page.locator('.card a').evaluateAll((all) => all.map((a) => a.href))).size, 14, 'each once');
    // what has a meaning in a filter is looked for as it is
    for (const [search, found] of [['%_*(a,b)."\\', odd], ['nothing of the kind', null]]) {
      await page.getByLabel('Search the shop').fill(search);
      await page.keyboard.press('Enter');
      if (!found) await page.locator('main [role=status]', { hasText: 'Nothing was found.' }).waitFor();
      else await page.locator('.card:only-child', { hasText: '100%' }).waitFor();
    }

    await become(page, buyers.indexOf(me) + 1);
    await to(page, `product/${pot}`);
    await page.locator('h1', { hasText: 'Pot' }).waitFor();
    assert.match(await page.locator('.product .price').innerText(), /10% off[^]*₩27,000[^]*₩30,000/);
    assert.equal(await page.locator('.product .badge.few').innerText(), '9 left');
    assert.match(await page.locator('.variants').innerText(), /Large pot\s+₩50,000/);
    await picture(page, `storefront-product-${device}`);
    await page.getByLabel('Quantity').fill('2');
    await page.keyboard.press('Enter');
    await page.locator('main [role=status]', { hasText: 'is in the basket' }).waitFor();
    assert.match(await page.locator('nav a', { hasText: 'Basket' }).innerText(), /2$/);

    await named(page, 'link', 'Coupons').click();
    const ticket = page.locator('.coupon', { hasText: `First come ${category}` }).first();
    await ticket.getByRole('button', { name: 'Claim' }).click();
    await ticket.getByRole('button', { name: 'Claimed' }).waitFor();
    assert.equal(await ticket.getByRole('status').innerText(), '4 of 5 left');
    // somebody else takes one, and it is seen
    assert.equal((await call((await newBuyer(0)).who, 'claim_coupon', { coupon_id: coupon })).status, 201);
    await ticket.locator('.left', { hasText: '3 of 5 left' }).waitFor();

    await named(page, 'link', 'My orders').click();
    await page.locator('#balance').waitFor();
    const before = (await http('/rpc/get_balance', { who: `buyer ${me.id}` })).data.balance;
    await page.getByLabel('Amount').fill('20000');
    await named(page, 'button', 'Add points').click();
    await page.locator('#balance', { hasText: won(before + 20000) }).waitFor();

    await page.locator('nav a', { hasText: 'Basket' }).click();
    const total = page.locator('.summary .total dd');
    await total.filter({ hasText: won(57000) }).waitFor(); // 2 × 27 000 and shipping
    await page.getByLabel('Coupon for the order').selectOption({ label: `First come ${category}: ₩4,000 off · on orders from ₩20,000` });
    await total.filter({ hasText: won(53000) }).waitFor();
    await page.getByLabel('Name').fill('Kim <b>Minji</b>');
    await page.getByLabel('Address').fill('1 Sejong-daero');
    await page.getByLabel('For the courier').fill('at the door');
    if (before + 20000 < 53000) await page.locator('.refused', { hasText: 'It cannot be ordered so' }).waitFor();
    await page.getByLabel('Card').check();
    await page.getByLabel('Points to use with it').fill('3000');
    await page.getByLabel('Points to use with it').blur();
    await named(page, 'button', `Order and pay ${won(53000)}`).click();
    await page.locator('.pay').waitFor();
    assert.equal(await page.locator('#order-status').innerText(), 'waiting for payment');
    const id = Number((await page.locator('h1').innerText()).match(/\d+/)[0]);
    assert.deepEqual((await http(`/stock_entries?product_id=eq.${pot}&reason=eq.ORDER&select=delta`, { who: admin })).json, [{ delta: -2 }], 'the quotes left nothing behind');

    await named(page, 'button', 'Let the card be declined').click();
    await page.locator('#order-status', { hasText: 'cancelled' }).waitFor();
    await named(page, 'button', 'Try to pay again').click();
    await named(page, 'button', `Pay ${won(50000)}`).click();
    await named(page, 'button', 'The sellers send it').click();
    await named(page, 'button', 'It arrives').waitFor();
    assert.match(await page.locator('main').innerText(), /Korea Post 6892-/);
    await page.locator('.way [aria-current]', { hasText: 'on its way' }).waitFor();
    await named(page, 'button', 'It arrives').click();
    await page.getByRole('button', { name: /^Return: Pot/ }).click();
    await page.locator('dialog').getByLabel('Quantity').fill('1');
    await page.locator('dialog').getByLabel('Reason').fill('<i>one is enough</i>');
    await named(page, 'button', 'Go on').click();
    await named(page, 'button', 'The return comes back').click();
    await named(page, 'button', 'The card company pays back').click();
    await page.locator('.badge.returned').waitFor();
    await page.waitForFunction(() => !document.querySelector('.demo'));
    await page.locator('.items > li', { hasText: 'returned' }).locator('summary').click();
    assert.match(await page.locator('.history >> visible=true').innerText(), /return asked for[^]*<i>one is enough<\/i>[^]*returned/);
    assert.match(await page.locator('.columns').innerText(), /Given back\s+₩25,000[^]*Refund · Card · ₩25,000 done[^]*Kim <b>Minji<\/b>[^]*at the door/);
    await picture(page, `storefront-order-${device}`);

    // another one, paid by points, and cancelled
    await to(page, `product/${odd}`);
    await page.locator('h1', { hasText: '100%' }).waitFor();
    await page.getByLabel('Quantity').fill('3');
    await named(page, 'button', 'Put into the basket').click();
    await page.locator('nav a', { hasText: 'Basket' }).click();
    await page.getByLabel('Address').fill('1 Sejong-daero');
    await named(page, 'button', `Order and pay ${won(1500)}`).click();
    await page.locator('#order-status', { hasText: 'paid' }).waitFor();
    await page.getByRole('button', { name: /^Cancel: 100%/ }).click();
    await page.locator('dialog').getByLabel('Quantity').fill('1');
    await named(page, 'button', 'Go on').click();
    await page.locator('#order-status', { hasText: 'partly cancelled' }).waitFor();
    await named(page, 'button', 'Cancel the order').click();
    await page.locator('#order-status', { hasText: 'refunded' }).waitFor();
    await named(page, 'link', 'My orders').click();
    await page.locator('#balance', { hasText: won(before + 20000 - 3000) }).waitFor();
    assert.deepEqual(await page.locator('.order .badge').evaluateAll((all) => all.slice(0, 2).map((e) => e.textContent)), ['refunded', 'completed']);
    assert.equal(await page.locator('.order >> nth=1').locator('a').getAttribute('href'), `#/order/${id}`);
    assert.deepEqual((await http('/rpc/check_invariants', { who: admin })).data, []);
  });
}

test('a hundred buyers, twenty coupons, and everybody sees the last one go', { skip }, async (t) => {
  const [page, watching] = [await open(t, '#/rush'), await open(t, '#/rush', { width: 380, language: 'ko-KR' })];
  await watching.evaluate(() => {
    window.seen = [];
    const left = document.getElementById('rush-left');
    new MutationObserver(() => window.seen.push(Number(left.textContent))).observe(left, { childList: true });
  });
  await page.locator('#rush-start').click();
  await watching.locator('#rush-left', { hasText: /^0$/ }).waitFor({ timeout: 20000 });
  await watching.locator('#rush-verdict', { hasText: '마지막 한 장이 나갔습니다.' }).waitFor();
  await page.locator('#rush-verdict', { hasText: 'took the last one' }).waitFor({ timeout: 30000 });
  assert.match(await page.locator('#rush-verdict').innerText(), /20 got one, 0 left, 80 were too late\./);
  const seen = await watching.evaluate(() => window.seen);
  assert.ok(seen.some((n) => n > 0) && seen.at(-1) === 0 && seen.every((n, i) => i === 0 || n < seen[i - 1]), `who only looks has seen ${seen.join(', ')}`);
  assert.deepEqual(await page.locator('#rush-left, #rush-got, #rush-late').allInnerTexts(), ['0', '20', '80']);
  assert.deepEqual(await page.evaluate(() => ['got', 'late'].map((c) => document.querySelectorAll(`.squares .${c}`).length)), [20, 80]);
  await picture(page, 'storefront-rush');
  const [coupon] = (await http('/coupons?name=eq.Rush&order=id.desc&limit=1', { who: admin })).json;
  const issues = (await http(`/coupon_issues?coupon_id=eq.${coupon.id}&select=user_id`, { who: admin })).json;
  assert.deepEqual([coupon.remaining, issues.length, new Set(issues.map((i) => i.user_id)).size], [0, 20, 20]);
});

test('names, notes and refusals are text, and nothing but the shop\'s own scripts runs', { skip }, async (t) => {
  const hostile = '<img src=x onerror=alert(1)><script>alert(2)</script>';
  const { sellerId } = await newSeller();
  const product = await newProduct({ name: `${hostile} ${unique()}`, description: hostile, category: hostile, price: 3000, seller_id: sellerId, image_urls: ['javascript:alert(3)'] });
  await newProduct({ name: hostile, category: hostile, price: 3000, group_id: product, seller_id: sellerId });
  await newCoupon({ name: hostile, product_id: product });
  await call(admin, 'update_seller', { seller_id: sellerId, business_name: hostile });
  const { buyers } = await settings();
  await call(`buyer ${buyers[2].id}`, 'update_user', { name: hostile, address: hostile });
  t.after(() => call(`buyer ${buyers[2].id}`, 'update_user', { name: 'Page 3' }));
  await call(`buyer ${buyers[2].id}`, 'charge_balance', { amount: 10000 });
  const order = (await call(`buyer ${buyers[2].id}`, 'place_order', { items: [{ product_id: product, quantity: 2 }], delivery: { memo: hostile } })).data;
  await call(`buyer ${buyers[2].id}`, 'cancel_order_item', { order_item_id: order.items[0].id, quantity: 1, note: hostile });

  // no other page is to have it
  t.after(() => call(admin, 'set_product_status', { product_id: product, status: 'DISCONTINUED' }));

  // the pictures' address is refused by the policy
  const page = await visit(t, store, { complaints: null });
  const ran = [];
  page.on('dialog', (dialog) => { ran.push(dialog.message()); dialog.dismiss(); });
  await page.locator('main h1').waitFor();
  await become(page, 3);
  for (const [path, ready, least] of [[`?category=${encodeURIComponent(hostile)}`, '.card >> nth=1', 5], [`product/${product}`, '.product', 5], ['coupons', '.coupon', 1], ['orders', '.order', 1], [`order/${order.id}`, '.items', 5]]) {
    await to(page, path);
    await page.locator(ready).first().waitFor();
    await page.evaluate(() => { for (const d of document.querySelectorAll('details')) d.open = true; });
    const text = await page.locator('body').evaluate((body) => body.textContent);
    assert.ok(text.split(hostile).length > least, `${path} shows it as text`);
    assert.equal(await page.locator('main script, main iframe, [onerror]').count(), 0, path);
  }
  await page.route('**/rpc/place_order', (route) => route.fulfill({ status: 409, json: { code: 'STOCK_NOT_ENOUGH', message: hostile, details: JSON.stringify({ available: 1, reason: hostile }), hint: null } }));
  await page.evaluate((id) => localStorage.setItem('storefront.basket', JSON.stringify([{ product_id: id, quantity: 1 }])), product);
  await to(page, 'basket');
  await page.locator('.refused', { hasText: hostile }).waitFor();
  assert.deepEqual(ran, []);

  const policy = (await fetch(store)).headers.get('content-security-policy');
  assert.doesNotMatch(policy, /unsafe|\*|data:|blob:/);
  for (const part of ["default-src 'none'", "script-src 'self'", `connect-src 'self' ${direct};`, "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) assert.ok(policy.includes(part), part);
  assert.equal(await page.evaluate((html) => { try { document.querySelector('main').insertAdjacentHTML('beforeend', html); return 'set'; } catch (error) { return error.name; } }, hostile), 'TypeError');
});

test('what the README has for a shop of one\'s own is what the demo is served with', async () => {
  const text = readFileSync(join(root, 'examples/storefront/README.md'), 'utf8').replaceAll('https://api.shop.example', direct);
  const [, json] = text.match(/^ *```json\n(.*?)^ *```$/ms);
  assert.deepEqual({ ...JSON.parse(json), buyers: 'the demo\'s' }, { ...await settings(), buyers: 'the demo\'s' });
  const [, lines] = text.match(/^```http\n(.*?)^```$/ms);
  const { headers } = await fetch(store);
  for (const [, name, value] of lines.matchAll(/^([\w-]+): (.*)$/mg)) assert.equal(headers.get(name), value);
});

test('keyboard and screen reader', { skip }, async (t) => {
  const product = await newProduct({ name: `Kettle ${unique()}` });
  const page = await open(t, `#/product/${product}`);
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id || document.activeElement.name);
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'content');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.labels[0].textContent), 'Quantity');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('main [role=status]', { hasText: 'is in the basket' }).waitFor();
  assert.equal(await focused(), 'Put into the basket', 'the focus stays');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('h1', { hasText: 'Basket' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'content', 'a new page is read from its beginning');
  assert.match(await page.title(), /^Basket/);
  await become(page, 1);
  await page.locator('.summary .total').waitFor();

  for (const path of ['', 'best', 'coupons', 'rush', 'orders', 'basket', `product/${product}`]) {
    await to(page, path);
    await page.waitForFunction((its) => document.querySelector('nav a[aria-current]')?.getAttribute('href') === `#/${its}` || its.includes('/'), path);
    await page.locator('main h1').waitFor();
    assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('input, select, button, a')].filter((e) => e.getClientRects().length
      && !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.outerHTML)), [], `${path}: everything has a name`);
    assert.equal(await page.locator('h1').count(), 1, path);
    for (const role of ['banner', 'main', 'contentinfo', 'navigation']) assert.equal(await page.getByRole(role).count(), 1, `${path} ${role}`);
  }

  // a dialog takes the focus, and gives it back
  const { buyers } = await settings();
  const order = (await call(`buyer ${buyers[0].id}`, 'place_order', { items: [{ product_id: product, quantity: 1 }], payment_method: 'EXTERNAL' })).data;
  await call(admin, 'confirm_payment', { order_id: order.id, succeeded: true, provider_event_id: unique(), amount: order.payment_amount });
  await to(page, `order/${order.id}`);
  const cancel = page.getByRole('button', { name: /^Cancel: Kettle/ });
  await cancel.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: /^Cancel: Kettle/ }).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.equal(await cancel.evaluate((e) => e === document.activeElement), true);
});

test('every page, wide and narrow, light and dark, in either language', { skip }, async (t) => {
  const product = await newProduct({ name: `Lamp ${unique()}`, price: 20000, discount: 2000, stock: 3 });
  await newProduct({ name: 'Nothing left', stock: 0 });
  await call(admin, 'refresh_popular_products', {});
  const { buyers } = await settings();
  const me = `buyer ${buyers[0].id}`;
  await call(me, 'charge_balance', { amount: 50000 });
  const order = (await call(me, 'place_order', { items: [{ product_id: product, quantity: 1 }] })).data;
  const waiting = (await call(me, 'place_order', { items: [{ product_id: product, quantity: 1 }], payment_method: 'EXTERNAL' })).data;
  const page = await open(t);
  await become(page, 1);
  await page.evaluate((id) => localStorage.setItem('storefront.basket', JSON.stringify([{ product_id: id, quantity: 1 }])), product);
  const pages = { catalogue: ['', '.card'], product: [`product/${product}`, '.product'], best: ['best', '.rank'], coupons: ['coupons', '.coupon'], rush: ['rush', '#rush-start'], basket: ['basket', '.total'],
    orders: ['orders', '.order'], order: [`order/${order.id}`, '.way'], waiting: [`order/${waiting.id}`, '.pay'], none: ['nowhere', 'h1'] };
  for (const [language, scheme, width] of [['en', 'dark', 1280], ['ko', 'light', 360]]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 800 });
    if (await page.evaluate(() => document.documentElement.lang) !== language) await page.locator('#language').click();
    for (const [name, [path, ready]] of Object.entries(pages)) {
      await to(page, path);
      await page.locator(ready).first().waitFor();
      await picture(page, `storefront-${name}-${language}-${scheme}-${width}`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} ${width}: nothing is beyond the edge`);
      assert.doesNotMatch(await page.locator('body').innerText(), /undefined|NaN|null|Invalid|\[object/, name);
      const contrast = await page.evaluate(worstContrast);
      assert.ok(contrast.ratio >= 4.5, `${name} ${scheme}: contrast ${contrast.ratio} of "${contrast.text}"`);
    }
  }
  await call(me, 'cancel_order', { order_id: waiting.id });
});

test('Korean and English, and what the shop refuses in the same language', { skip }, async (t) => {
  const words = readFileSync(join(files, 'texts.js'), 'utf8');
  const texts = new Function(`${words.slice(0, words.indexOf('export const texts'))}; return { en, ko };`)();
  const keys = (object) => Object.entries(object).flatMap(([k, v]) => (typeof v === 'object' ? Object.keys(v).map((i) => `${k}.${i}`) : `${k} ${typeof v}`)).sort();
  assert.deepEqual(keys(texts.ko), keys(texts.en));
  const scripts = [...readdirSync(files), ...readdirSync(join(files, 'pages')).map((name) => `pages/${name}`)].filter((name) => name.endsWith('.js')).map((name) => readFileSync(join(files, name), 'utf8')).join('\n');
  for (const [, key] of scripts.matchAll(/\bt\.(\w+)/g)) assert.ok(texts.en[key], `a text for ${key}`);
  assert.doesNotMatch(scripts, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(/);

  const coupon = await newCoupon({ name: `One ${unique()}`, quantity: 1 });
  const page = await open(t, '#/coupons', { language: 'ko-KR' });
  assert.equal(await page.locator('h1').innerText(), '쿠폰');
  await become(page, 1);
  const ticket = page.locator('.coupon', { hasText: /^One/ }).first();
  await ticket.getByRole('button', { name: '받기' }).waitFor();
  // the last one goes to somebody else just now
  await page.route('**/coupons?*', (route) => route.abort());
  assert.equal((await call((await newBuyer(0)).who, 'claim_coupon', { coupon_id: coupon })).status, 201);
  await ticket.getByRole('button', { name: '받기' }).click();
  await page.locator('#notice', { hasText: '쿠폰이 모두 소진되었습니다' }).waitFor();
  assert.equal(await ticket.locator('.left').innerText(), '모두 소진');
  await page.unroute('**/coupons?*');
  await page.locator('#language').click();
  await page.locator('h1', { hasText: 'Coupons' }).waitFor();
  assert.deepEqual([await page.evaluate(() => document.documentElement.lang), await page.locator('#language').innerText()], ['en', '한국어']);
});

// A page on which a buyer need only press the button, for a product of ₩1,000.
async function aboutToOrder(t) {
  const product = await newProduct({ name: `Tea ${unique()}`, price: 1000 });
  const page = await open(t);
  const { buyers } = await settings();
  await call(`buyer ${buyers[0].id}`, 'charge_balance', { amount: 5000 });
  await become(page, 1);
  await page.evaluate((id) => localStorage.setItem('storefront.basket', JSON.stringify([{ product_id: id, quantity: 1 }])), product);
  await to(page, 'basket');
  await page.getByLabel('Address').fill('1 Sejong-daero');
  await named(page, 'button', 'Order and pay ₩1,000').waitFor();
  return { product, page };
}

test('an order whose answer got lost is sent again, and is one order', { skip }, async (t) => {
  const { product, page } = await aboutToOrder(t);
  let lost = 0;
  await page.route('**/rpc/place_order', async (route) => {
    if (route.request().method() !== 'POST' || lost++) return route.continue();
    await route.fetch();
    return route.abort();
  });
  await named(page, 'button', 'Order and pay ₩1,000').click();
  await page.locator('#order-status', { hasText: 'paid' }).waitFor();
  assert.equal((await http(`/order_items?product_id=eq.${product}&select=id`, { who: admin })).json.length, 1);
});

test('an order of which no answer came at all is one order when somebody sends it again', { skip }, async (t) => {
  const { product, page } = await aboutToOrder(t);
  let lost = 0;
  await page.route('**/rpc/place_order', async (route) => {
    const request = route.request();
    if (request.method() !== 'POST' || /tx=rollback/.test(request.headers().prefer) || lost === 4) return route.continue();
    lost++;
    await route.fetch();
    return route.abort();
  });
  await named(page, 'button', 'Order and pay ₩1,000').click();
  await page.locator('#notice', { hasText: 'The shop does not answer' }).waitFor();
  await named(page, 'button', 'Order and pay ₩1,000').click();
  await page.locator('#order-status', { hasText: 'paid' }).waitFor();
  assert.equal(lost, 4);
  assert.equal((await http(`/order_items?product_id=eq.${product}&select=id`, { who: admin })).json.length, 1);
});

test('when the shop does not answer, the page says so', { skip }, async (t) => {
  const page = await open(t);
  await page.route(`${direct}/**`, (route) => route.abort());
  await named(page, 'link', 'Best sellers').click();
  await page.locator('#notice', { hasText: 'The shop does not answer' }).waitFor();
  await page.unroute(`${direct}/**`);
  await named(page, 'link', 'Shop').click();
  await page.locator('.card').first().waitFor();
  assert.equal(await page.locator('#notice').isVisible(), false);
});

test('whoever is not its own page gets nothing of its server', async () => {
  const { port } = new URL(store);
  const { buyers } = await settings();
  assert.equal(buyers.length, 3);
  const asked = (path, options) => fetch(`${store}${path}`, options).then((r) => [r.status, r.headers.get('access-control-allow-origin')]);
  assert.deepEqual(await asked('/settings.json', { headers: { Origin: 'https://evil.example' } }), [200, null], 'no page of another origin can read it');
  assert.deepEqual(await asked('/demo/rush', { method: 'POST', body: '{}' }), [404, null], 'nor make it do something');
  assert.deepEqual(await asked('/demo/pay', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"order_id": "1;x"}' }), [409, null]);
  for (const path of ['/README.md', '/../scripts/storefront.mjs', '/%2e%2e/scripts/lib.sh', '/pages', '/pages/../../README.md']) assert.equal((await asked(path))[0], 404, path);
  const pinned = (name) => readFileSync(join(root, name), 'utf8').match(/@supabase\/postgrest-js(?:": "|@)([\d.]+)/)[1];
  assert.equal(pinned('scripts/demo-rest'), pinned('test/http/package.json'), 'the demo has what is tested');
  // a name that somebody else has pointed here
  const { request } = await import('node:http');
  const status = await new Promise((done) => request({ host: '127.0.0.1', port, path: '/settings.json', headers: { Host: 'evil.example' } }, (r) => { r.resume(); done(r.statusCode); }).end());
  assert.equal(status, 421);
});

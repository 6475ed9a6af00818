// Scripts that somebody has stored, wherever the shop takes a text: no page runs them. The first test shows that one that ran would be seen.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch, picture, skip } from './browser.mjs';
import { admin, call, direct, http, newBuyer, newProduct, newSeller, tokenOf } from './shop.mjs';

// Each says its name when it runs, by a dialog that no page of ours has.
const scripts = {
  script: '<script>alert("script")</script>',
  handler: '<img src=x onerror=alert("handler")>',
  svg: '<svg onload=alert("svg")></svg>',
  closing: '</td></textarea></title></style></script><img src=x onerror=alert("closing")>',
  attribute: '" autofocus onfocus=alert("attribute") x="',
  frame: '<iframe srcdoc="<script>parent.alert(1)</script>"></iframe>',
  link: '<a id=link href="javascript:alert(1)">link</a>',
  template: '${alert("template")}{{alert(1)}}',
};
const all = Object.values(scripts).join(' ');
const short = scripts.handler;

let browser;
let bare; // a server of pages that take no care
before(async () => {
  if (skip) return;
  browser = await launch();
  bare = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end(`<!doctype html><title>x</title>${decodeURIComponent(request.url.slice(2))}`);
  }).listen(0, '127.0.0.1');
  await once(bare, 'listening');
});
after(async () => { await browser?.close(); bare?.close(); });

// What has run by the time that everything is loaded.
async function open(t, url) {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  t.after(() => page.context().close());
  page.ran = [];
  page.on('dialog', (dialog) => { page.ran.push(dialog.message()); dialog.dismiss(); });
  await page.goto(url);
  return page;
}
const settle = (page) => page.waitForTimeout(300);
async function until(condition) {
  for (let i = 0; i < 200 && !condition(); i++) await new Promise((done) => setTimeout(done, 50));
}

test('a script that runs is seen', { skip }, async (t) => {
  const page = await open(t, `http://127.0.0.1:${bare.address().port}/?`);
  for (const [name, script] of Object.entries(scripts)) {
    if (name === 'template') continue;
    page.ran.length = 0;
    await page.goto(`http://127.0.0.1:${bare.address().port}/?${encodeURIComponent(name === 'attribute' ? `<input value="${script}">` : script)}`);
    if (name === 'link') await page.locator('#link').click();
    await until(() => page.ran.length);
    assert.equal(page.ran.length, 1, name);
  }
});

const psql = (statement) => execFileSync('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', statement], { stdio: ['ignore', 'ignore', 'pipe'] });
const quote = (text) => `'${text.replaceAll("'", "''")}'`;

// Takes a text wherever a text is taken; what is refused, is refused for what it is and not stored.
async function store() {
  const seller = await newSeller();
  const buyer = await newBuyer();
  const ok = async (who, name, body) => {
    const answer = await call(who, name, body, {}, { url: direct });
    assert.ok(answer.status < 300, `${name}: ${answer.text}`);
    return answer.data;
  };
  const changed = [
    [buyer.who, 'update_user', { name: short, phone: short.slice(0, 40), address: all }],
    [seller.who, 'update_seller', { business_name: short, category: short, address: all, cs_phone: short.slice(0, 40) }],
  ];
  for (const [who, name, body] of changed) await ok(who, name, body);
  const { product_id: product } = await ok(seller.who, 'create_product', { name: all.slice(0, 200), description: all, category: short, price: 1000, stock: 900, sku: short });
  await ok(seller.who, 'create_coupon', { name: short, description: all, kind: 'FIXED', value: 100, quantity: 3, valid_days: 3 });
  const order = await ok(buyer.who, 'place_order', { items: [{ product_id: product, quantity: 900 }], metadata: { note: all }, delivery: { name: short, phone: short.slice(0, 40), address: all, memo: all } });
  const parcel = await ok(seller.who, 'dispatch_items', { order_item_ids: [order.items[0].id], carrier: short, tracking_number: short });
  await ok(seller.who, 'change_shipment_status', { shipment_id: parcel.id, new_status: 'DELIVERED' });
  await ok(buyer.who, 'change_item_status', { order_item_id: order.items[0].id, new_status: 'RETURN_REQUESTED', note: all });
  await ok(admin, 'refund_order', { order_id: order.id, amount: 10, note: all });
  const name = `<img src=x onerror=alert("${product}")>`;
  await ok(admin, 'subscribe', { name });
  await ok(admin, 'set_http_sink', { subscription: name, url: `https://example.com/"><img/src=x/onerror=alert("url")>` });
  for (const url of ['javascript:alert("url")', 'data:text/html,<script>alert("url")</script>']) {
    assert.equal((await call(admin, 'set_http_sink', { subscription: name, url }, {}, { url: direct })).code, 'INVALID_REQUEST', url);
  }
  await ok(admin, 'subscribe', { name: `p${product}` });
  await ok(admin, 'pause_subscription', { subscription: `p${product}`, reason: all });
  // what foreign servers and failures leave behind, and who is connected
  psql(`UPDATE commerce.subscriptions SET last_error = ${quote(all)}, last_error_at = now() WHERE name = ${quote(name)};
    INSERT INTO commerce_private.job_runs (name, started_at, finished_at, failures, last_error, last_error_at) VALUES ('fold', now(), now(), 1, ${quote(all)}, now()), ('purge-outbox', now(), now(), 1, ${quote(all)}, now())
    ON CONFLICT (name) DO UPDATE SET started_at = now(), finished_at = now(), last_error = EXCLUDED.last_error, last_error_at = now()`);
  await ok(admin, 'refresh_popular_products', {});
  return { buyer, seller, product, name };
}

test('the operator\'s page shows them as text', { skip }, async (t) => {
  const { product, name } = await store();
  t.after(() => psql(`DELETE FROM commerce_private.job_runs; DELETE FROM commerce.subscriptions WHERE name IN (${quote(name)}, 'p${product}')`));
  const page = await open(t, `${direct}/rpc/operator`);
  const tags = await page.evaluate(() => document.querySelectorAll('script, style, img, iframe, a, input').length);
  // an address, a token and an answer of the server are texts, too
  await page.goto(`${direct}/rpc/operator#${encodeURIComponent(all)}`);
  await page.locator('#token').fill(short);
  await page.locator('#token').press('Enter');
  await page.route('**/rpc/shop_status', (route) => route.fulfill({ status: 401, json: { code: 'x', message: all, details: all, hint: null } }));
  await page.locator('#token').fill('x.y.z');
  await page.locator('#token').press('Enter');
  await page.locator('#why:has-text("onerror")').waitFor();
  await page.unroute('**/rpc/shop_status');
  await page.locator('#token').fill(tokenOf(admin));
  await page.locator('#token').press('Enter');
  await page.locator('main').waitFor();
  for (const language of ['ko', 'en']) {
    await page.locator(`button[lang=${language}]`).click();
    await settle(page);
    // and what is shown is all of it
    for (const place of ['#problems', '#subscriptions', '#jobs', '#running-out', '#popular']) {
      const shown = await page.locator(place).textContent();
      assert.ok(shown.includes(scripts.script) && shown.includes(scripts.handler), `${place} has them: ${shown}`);
    }
  }
  await picture(page, 'hostile');
  await page.route('**/rpc/check_invariants', (route) => route.fulfill({ json: { code: 'SUCCESS', message: all, data: [{ invariant: all, violations: all }] } }));
  await page.locator('#check').click();
  await page.locator('#health:has-text("onerror")').waitFor();
  await page.route('**/rpc/shop_status', (route) => route.fulfill({ status: 500, json: { code: 'x', message: all, details: all, hint: null } }));
  await page.locator('#gone:has-text("onerror")').waitFor({ timeout: 15000 });
  await settle(page);
  assert.deepEqual(page.ran, []);
  assert.equal(await page.evaluate(() => document.querySelectorAll('script, style, img, iframe, a, input').length), tags, 'no element came of a text');
});

test('were one set as HTML, it would not run', { skip }, async (t) => {
  const page = await open(t, `${direct}/rpc/operator`);
  const refused = [];
  page.on('console', (message) => refused.push(message.text()));
  const insert = (text) => page.evaluate((html) => { try { document.querySelector('header').insertAdjacentHTML('beforeend', html); return 'set'; } catch (error) { return error.name; } }, text);
  assert.equal(await insert(all), 'TypeError', 'texts are refused where HTML is taken');
  // another page that is the same but for that
  await page.route('**/rpc/operator', async (route) => {
    const response = await route.fetch();
    const headers = { ...response.headers() };
    headers['content-security-policy'] = headers['content-security-policy'].replace(/; require-trusted-types.*/, '');
    await route.fulfill({ response, headers });
  });
  await page.reload();
  refused.length = 0;
  assert.equal(await insert(all), 'set');
  await page.locator('#link').click();
  const refusals = () => refused.filter((text) => /Content Security Policy/.test(text)).length;
  await until(() => refusals() >= 3);
  assert.ok(refusals() >= 3, refused.join('\n'));
  await settle(page);
  assert.deepEqual(page.ran, []);
  // and without any policy it would
  await page.route('**/rpc/operator', async (route) => {
    const response = await route.fetch();
    const headers = { ...response.headers() };
    delete headers['content-security-policy'];
    await route.fulfill({ response, headers });
  });
  await page.reload();
  assert.equal(await insert(all), 'set');
  await until(() => page.ran.includes('handler'));
  assert.ok(page.ran.includes('handler'));
});

test('the page cannot be framed', { skip }, async (t) => {
  const page = await open(t, `http://127.0.0.1:${bare.address().port}/?${encodeURIComponent(`<iframe src="${direct}/rpc/operator"></iframe>`)}`);
  await settle(page);
  assert.equal(await page.frames()[1].locator('#token').count(), 0);
});

test('no answer of the API is a page in which they run', { skip }, async (t) => {
  const { product } = await store();
  const { json } = await http('/', { url: direct });
  const context = await browser.newContext({ extraHTTPHeaders: { Authorization: `Bearer ${tokenOf(admin)}` } });
  t.after(() => context.close());
  const page = await context.newPage();
  const ran = [];
  page.on('dialog', (dialog) => { ran.push(dialog.message()); dialog.dismiss(); });
  const views = Object.keys(json.paths).filter((path) => path !== '/' && !path.startsWith('/rpc/'));
  let hostile = 0;
  for (const path of [...views, `/rpc/get_product?product_id=${product}`, '/rpc/shop_status', `/products?select=name&id=eq.${encodeURIComponent(short)}`, `/${encodeURIComponent(short)}`, `/rpc/get_order?order_id=${encodeURIComponent(short)}`]) {
    const response = await page.goto(direct + path);
    assert.doesNotMatch(response.headers()['content-type'] ?? '', /html|svg|xml/, path);
    if ((await response.text()).includes('onerror=')) hostile++;
  }
  assert.ok(hostile > 8, `${hostile} of them had one in them`);
  await settle(page);
  assert.deepEqual(ran, []);
  for (const accept of ['text/html', 'application/xhtml+xml', 'image/svg+xml', 'text/xml']) {
    const answer = await http('/products', { url: direct, headers: { Accept: accept } });
    assert.equal(answer.status, 406, accept);
  }
});

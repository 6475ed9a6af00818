// What the ecosystem makes of the OpenAPI document: a linter has nothing to say, generators make clients that
// compile, and one of them buys.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { admin, direct, http, newBuyer, newCoupon, newProduct, tokenOf } from './shop.mjs';

const require = createRequire(import.meta.url);
const run = promisify(execFile);
const here = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), 'commerce-clients-'));
after(() => rmSync(folder, { recursive: true }));
const { text, json: shop } = await http('/', { headers: { Accept: 'application/openapi+json' } });

test('operations come in the order of a reader, columns in that of the table', () => {
  const tags = Object.values(shop.paths).map((item) => Object.values(item)[0].tags[0]);
  assert.deepEqual(tags.filter((tag, i) => tag !== tags[i - 1]), ['catalogue', 'buyer', 'seller', 'admin']);
  assert.deepEqual(Object.keys(shop), ['openapi', 'info', 'tags', 'servers', 'paths', 'components']);
  assert.deepEqual(Object.keys(shop.components.schemas.products.properties).slice(0, 5), ['id', 'seller_id', 'seller_name', 'name', 'description']);
  assert.deepEqual(Object.keys(shop.components.schemas.error.properties), ['code', 'message', 'details', 'hint']);
  assert.ok(!text.includes('x-order'));
});

test('rows that can be embedded are those that PostgREST embeds', async () => {
  const views = Object.keys(shop.paths).filter((path) => path !== '/' && !path.startsWith('/rpc/'));
  let embedded = 0;
  for (const path of views) {
    const { properties, required } = shop.components.schemas[path.slice(1)];
    for (const name of Object.keys(properties).filter((key) => !required.includes(key))) {
      // compared with the document, as everything
      const answer = await http(`${path}?limit=5&select=*,${name}(*)`, { who: admin });
      assert.equal(answer.status, 200, `${path} ${name}: ${answer.text}`);
      embedded++;
    }
  }
  assert.ok(embedded > 40, `${embedded}`);
  for (const [view, name] of [['orders', 'order_items'], ['order_items', 'order_item_events'], ['products', 'sellers'], ['popular_products', 'product'], ['users', 'sellers']])
    assert.ok(shop.components.schemas[view].properties[name], `${view} ${name}`);
});

test('a linter has nothing to say', async () => {
  const look = async (name, document) => {
    writeFileSync(join(folder, name), JSON.stringify(document));
    return (await run(process.execPath, [join(here, 'clients/lint.mjs'), join(folder, name)])).stdout;
  };
  assert.equal(await look('shop.json', shop), '');
  const { contact, ...info } = shop.info;
  assert.match(await look('no-contact.json', { ...shop, info, paths: {}, components: {} }), /^info-contact/);
});

test('generated clients compile, and one of them buys', async () => {
  const input = join(folder, 'input.json');
  writeFileSync(input, text);
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  symlinkSync(join(here, 'node_modules'), join(folder, 'node_modules'));
  for (const name of ['purchase.ts', 'tsconfig.json']) copyFileSync(join(here, 'clients', name), join(folder, name));
  await run(process.execPath, [join(here, 'clients/generate.mjs'), input, folder], { cwd: folder });
  await run(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', folder]).catch((error) => assert.fail(error.stdout));

  const [buyer, product, coupon] = [await newBuyer(0), await newProduct(), await newCoupon()];
  const { stdout } = await run(process.execPath, [join(folder, 'built/purchase.js')], {
    env: { ...process.env, COMMERCE_URL: direct, COMMERCE_TOKEN: tokenOf(buyer.who), COMMERCE_PRODUCT: String(product), COMMERCE_COUPON: String(coupon) } });
  assert.equal(stdout, 'bought\n');
});

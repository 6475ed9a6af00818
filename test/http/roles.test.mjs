// The table of roles and requests in docs/rest-setup.md, which is made from the catalog, against what a request with
// the token of each role gets. All of it is rolled back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { admin, call, direct, http, newBuyer, newCoupon, newProduct, newSeller } from './shop.mjs';

const roles = ['anonymous', 'buyer', 'seller', 'administrator'];
const lines = readFileSync(join(import.meta.dirname, '../../docs/rest-setup.md'), 'utf8')
  .match(/<!-- generated: rest roles -->\n([^]*?)<!-- end -->/)[1].trim().split('\n').slice(2);
const table = lines.map((line) => {
  const [request, ...cells] = line.split('|').slice(1, -1).map((cell) => cell.trim());
  const [method, path] = request.replaceAll('`', '').split(' ');
  return { method, path, ...Object.fromEntries(roles.map((role, i) => [role, cells[i]])) };
});
const { json: openapi } = await http('/', { url: direct });

const answered = async (who, name, body) => {
  const answer = await call(who, name, body);
  assert.ok(answer.status < 300, `${name}: ${answer.text}`);
  return answer.data;
};

// Somebody of a role with something of each kind, so that no request is refused because a thing is not there.
async function person(role) {
  const [buyer, seller] = [await newBuyer(), await newSeller()];
  const product_id = await newProduct({ seller_id: seller.sellerId });
  const coupon_id = await newCoupon({ seller_id: seller.sellerId });
  const { id: coupon_issue_id } = await answered(buyer.who, 'claim_coupon', { coupon_id });
  const items = [{ product_id, quantity: 3 }];
  const order = await answered(buyer.who, 'place_order', { items });
  const sent = await answered(buyer.who, 'place_order', { items });
  const unpaid = await answered(buyer.who, 'place_order', { items, payment_method: 'EXTERNAL' });
  await answered(buyer.who, 'cancel_order', { order_id: unpaid.id });
  const things = {
    product_id, coupon_id, coupon_issue_id, order_id: order.id, order_item_id: order.items[0].id, replacement_product_id: product_id,
    order_sheet_id: (await answered(buyer.who, 'create_order_sheet', { items })).id,
    promotion_id: (await answered(seller.who, 'create_promotion', { product_id, kind: 'FIXED', value: 1, starts_at: '2020-01-01T00:00:00Z', ends_at: '2099-01-01T00:00:00Z' })).promotion_id,
    shipment_id: (await answered(seller.who, 'dispatch_items', { order_item_ids: [sent.items[0].id] })).id,
    order_item_ids: [order.items[0].id], coupon_issue_ids: [], user_id: buyer.id,
  };
  const administrator = role === 'administrator' ? (await answered(admin, 'create_user', { name: 'Boss', role: 'ADMIN' })).user_id : null;
  const user = { anonymous: null, buyer: buyer.id, seller: seller.id, administrator }[role];
  return { role, user, sellerId: seller.sellerId, unpaid: unpaid.id, things, who: role === 'anonymous' ? undefined : `${role.replace('istrator', '')} ${user}` };
}

// The example of the document, with the person's own things.
function example({ method, path }, { things, unpaid }) {
  const operation = openapi.paths[path][method.toLowerCase()];
  const body = operation.requestBody ? structuredClone(operation.requestBody.content['application/json'].example)
    : Object.fromEntries(operation.parameters.filter((p) => 'example' in p).map((p) => [p.name, p.example]));
  const own = (value) => {
    for (const key of Object.keys(value)) {
      if (key in things) value[key] = things[key];
      else if (value[key] && typeof value[key] === 'object') own(value[key]);
    }
  };
  own(body);
  if (path === '/rpc/retry_payment') body.order_id = unpaid;
  return body;
}

const ask = (row, somebody) => {
  const rpc = row.path.startsWith('/rpc/');
  const body = rpc ? example(row, somebody) : {};
  const query = row.method === 'GET' && Object.keys(body).length ? `?${new URLSearchParams(body)}` : '';
  return http(row.path + query, { who: somebody.who, method: row.method, url: direct, body: row.method === 'GET' ? undefined : body, headers: { Prefer: 'tx=rollback' } });
};

function compare(cell, row, somebody, answer, what) {
  const said = `${what}: ${row.method} ${row.path} is ${cell}, and was ${answer.status} ${answer.text.slice(0, 200)}`;
  if (cell === '401') assert.ok(answer.status === 401 && ['UNAUTHENTICATED', '42501'].includes(answer.code), said);
  else if (cell === '403') assert.ok(answer.status === 403 && ['FORBIDDEN', '42501'].includes(answer.code), said);
  // where the subject of a token is a user's id, nobody signs up, whoever may call it
  else if (row.path === '/rpc/sign_up' && answer.status === 403) assert.match(answer.json.details, /NO_SIGN_UP/, said);
  else if (row.path.startsWith('/rpc/')) assert.ok(![401, 403].includes(answer.status) && answer.status < 500, said);
  else assert.equal(answer.status, 200, said);
  if (cell !== 'own') return;
  for (const one of answer.json) {
    if (somebody.role === 'seller' && 'seller_id' in one) assert.equal(one.seller_id, somebody.sellerId, said);
    if (somebody.role === 'buyer' && 'user_id' in one) assert.equal(one.user_id, somebody.user, said);
  }
}

test('the table has every request of the document', () => {
  const paths = Object.entries(openapi.paths).filter(([path]) => !['/', '/rpc/operator'].includes(path))
    .map(([path, item]) => `${Object.keys(item)[0].toUpperCase()} ${path}`);
  assert.deepEqual(table.map((row) => `${row.method} ${row.path}`).sort(), paths.sort());
});

for (const role of roles) {
  test(`${role}: every request gets what the table says`, async () => {
    const somebody = await person(role);
    for (const row of table) compare(row[role], row, somebody, await ask(row, somebody), role);
  });
}

for (const role of roles.slice(1)) {
  for (const status of ['SUSPENDED', 'WITHDRAWN']) {
    test(`${status.toLowerCase()} ${role}`, async () => {
      const somebody = await person(role);
      await answered(admin, 'set_user_status', { user_id: somebody.user, status });
      for (const row of table) {
        const cell = row[role] === 'active' ? '403'
          : role === 'administrator' && row.path.startsWith('/rpc/') && row.anonymous !== 'yes' ? '403' : row[role];
        const answer = await ask(row, somebody);
        compare(cell, row, somebody, answer, `${status} ${role}`);
        if (role === 'administrator' && cell === 'all' && row.anonymous === '401') assert.deepEqual(answer.json, [], row.path);
      }
    });
  }
}

// GET /, for programs and for browsers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import addFormats from 'ajv-formats';
import Ajv2020 from 'ajv/dist/2020.js';
import { Validator } from '@seriousme/openapi-schema-validator';
import { admin, direct, http } from './shop.mjs';

test('GET / is a valid OpenAPI 3.1 document', async () => {
  const answer = await http('/', { url: direct, headers: { Accept: 'application/openapi+json' } });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type'), /^application\/openapi\+json/);
  const result = await new Validator().validate(structuredClone(answer.json));
  assert.deepEqual([result.valid, result.errors], [true, undefined]);
  assert.equal(answer.json.openapi, '3.1.0');
});

test('GET / is JSON for whoever takes anything', async () => {
  for (const accept of ['*/*', 'application/json']) {
    const answer = await http('/', { url: direct, headers: { Accept: accept } });
    assert.equal(answer.json?.openapi, '3.1.0', accept);
  }
});

test('GET / is a page for browsers', async () => {
  const answer = await http('/', { url: direct, headers: { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' } });
  assert.match(answer.headers.get('content-type'), /^text\/html/);
  assert.match(answer.text, /^<!doctype html>/);
  assert.match(answer.headers.get('content-security-policy'), /default-src 'none'/);
});

test('GET / is what Accept prefers', async () => {
  for (const [accept, type] of [['application/openapi+json, text/html;q=0', /openapi/], ['application/json, text/html;q=0.5', /openapi/], ['application/json;q=0.5, text/html', /html/]]) {
    const answer = await http('/', { url: direct, headers: { Accept: accept } });
    assert.match(answer.headers.get('content-type'), type, accept);
  }
});

test('what PostgREST has found is what the document says', async () => {
  const { json } = await http('/', { url: direct });
  for (const path of Object.keys(json.paths)) {
    if (path === '/') continue;
    const method = Object.keys(json.paths[path])[0].toUpperCase();
    const answer = await http(path, { who: admin, url: direct, method, body: method === 'POST' ? 'x' : undefined });
    assert.notEqual(answer.status, 404, `${method} ${path}: ${answer.text}`);
    assert.ok(answer.status < 500, `${method} ${path}: ${answer.text}`);
  }
});

test('what only PostgREST answers is in the document too', async () => {
  // a product names one of its group, and is named by others
  const ambiguous = await http('/products?select=*,my_products(*)', { who: admin });
  assert.deepEqual([ambiguous.status, ambiguous.code], [300, 'PGRST201']);
  const csv = await http('/users?limit=1', { who: admin, headers: { Accept: 'text/csv' } });
  assert.deepEqual([csv.status, csv.headers.get('content-type')], [200, 'text/csv; charset=utf-8']);
  assert.equal((await http('/rpc/operator', { headers: { Accept: 'text/html' } })).status, 200);
  const long = await http(`/products?name=eq.${'x'.repeat(100000)}`, { url: direct });
  assert.deepEqual([long.status, long.headers.get('content-type')], [400, 'text/plain; charset=utf-8']);
  const { json } = await http('/', { url: direct });
  assert.match(json.components.responses.postgrest_400.description, /as text, a request line that is too long/);
});

test('functions promise what they answer', async () => {
  const { json } = await http('/', { url: direct });
  const ajv = addFormats(new Ajv2020({ strict: false }));
  ajv.addSchema({ $id: 'document', ...json });
  for (const [path, item] of Object.entries(json.paths).filter(([name]) => name.startsWith('/rpc/') && name !== '/rpc/operator')) {
    const [method, operation] = Object.entries(item)[0];
    for (const status of Object.keys(operation.responses).filter((s) => s < '300')) {
      const content = operation.responses[status].content['application/json'];
      const place = ['paths', path, method, 'responses', status, 'content', 'application/json', 'schema'].map((s) => s.replaceAll('/', '~1')).join('/');
      const validate = ajv.getSchema(`document#/${place}`);
      assert.ok(validate(content.example), `${path}: ${ajv.errorsText(validate.errors)}`);
      assert.ok(!validate({ code: 'SUCCESS', message: '', data: {} }), `${path}: anything is an answer`);
    }
  }
});

test('the operator\'s page', async () => {
  const answer = await http('/rpc/operator', { url: direct, headers: { Accept: 'text/html' } });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type'), /^text\/html/);
  assert.match(answer.text, /^<!doctype html>/);
});

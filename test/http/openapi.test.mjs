// GET /, for programs and for browsers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
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

test('the operator\'s page', async () => {
  const answer = await http('/rpc/operator', { url: direct, headers: { Accept: 'text/html' } });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type'), /^text\/html/);
  assert.match(answer.text, /^<!doctype html>/);
});

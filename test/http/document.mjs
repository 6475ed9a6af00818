// Compares answers with the OpenAPI document that PostgREST gives.

import assert from 'node:assert/strict';
import addFormats from 'ajv-formats';
import Ajv2020 from 'ajv/dist/2020.js';

export const direct = process.env.COMMERCE_URL;
const document = await (await fetch(direct, { headers: { Accept: 'application/openapi+json' } })).json();
// what select chooses has the columns that were chosen, under names that may be new
const chosen = structuredClone(document);
for (const path of Object.keys(document.paths)) delete chosen.components.schemas[path.slice(1)]?.required;

const ajv = addFormats(new Ajv2020({ strict: false }));
ajv.addSchema({ $id: 'whole', ...document });
ajv.addSchema({ $id: 'chosen', ...chosen });

const pointer = (...steps) => steps.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
// what a reference leads to, and where that is
function followed(place) {
  const value = place.reduce((all, step) => all?.[step], document);
  return value?.$ref ? followed(value.$ref.slice(2).split('/')) : [value, place];
}
const matches = (id, place, value, what) => {
  const validate = ajv.getSchema(`${id}#${pointer(...place)}`) ?? ajv.compile({ $ref: `${id}#${pointer(...place)}` });
  assert.ok(validate(value), `${what} is not as the OpenAPI document says: ${ajv.errorsText(validate.errors)}`);
};

export function compare(method, url, response, text) {
  if (method === 'OPTIONS') return;
  const { pathname, searchParams } = new URL(url);
  const what = `${method} ${pathname}: status ${response.status}`;
  const type = response.headers.get('content-type')?.split(';')[0];
  const place = ['paths', decodeURI(pathname), method === 'HEAD' ? 'get' : method.toLowerCase()];
  const [operation] = followed(place);
  if (!operation) {
    // PostgREST refuses what is not there
    assert.ok(response.status >= 400 && response.status < 500, `${what} is not in the OpenAPI document`);
    if (method !== 'HEAD') matches('whole', ['components', 'schemas', 'error'], JSON.parse(text), what);
    return;
  }
  const [answer, at] = followed([...place, 'responses', response.status]);
  assert.ok(answer, `${what} is not in the OpenAPI document`);
  // as the descriptions say: PostgREST's HTTP server knows no JSON; views have two more media types
  if (method === 'HEAD' || type === 'text/csv' || (type === 'text/plain' && [400, 500].includes(response.status))) return;
  // a function of which no row is wanted is not called, and PostgREST answers by itself
  if (pathname.startsWith('/rpc/') && searchParams.get('limit') === '0' && text === 'null') return;
  const [id, schema] = [searchParams.has('select') ? 'chosen' : 'whole', [...at, 'content', 'application/json', 'schema']];
  if (type === 'application/vnd.pgrst.object+json') return matches(id, response.ok ? [...schema, 'items'] : schema, JSON.parse(text), what);
  assert.ok(answer.content[type], `${what}: ${type} is not in the OpenAPI document`);
  if (type === 'application/json') matches(id, schema, JSON.parse(text), what);
}

// fetch(), whose every answer is compared
export async function validated(url, options) {
  const response = await fetch(url, options);
  compare(options?.method ?? 'GET', url, response, await response.clone().text());
  return response;
}

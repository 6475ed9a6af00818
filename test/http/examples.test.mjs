// The examples of docs/rest.md and of README.md, run in a shell as a reader would, one page after the other, on the
// shop of `make demo`, with the lines that it prints for pasting.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PostgrestClient } from '@supabase/postgrest-js';
import { token } from './shop.mjs';

const root = join(import.meta.dirname, '../..');
const work = mkdtempSync(join(tmpdir(), 'commerce-examples-'));
const database = 'http_examples';
const roles = Object.fromEntries(['buyer', 'seller', 'admin'].map((role, i) => [role, token({ role: `api_${role}`, sub: ['1', '4', '6'][i] })]));
let shop, postgrest;

const psql = (...args) => execFileSync('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// The blocks of a page in one language that are not marked as ones that cannot be run: { line, text }
function blocks(page, language) {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^( *<!-- not run: .*-->\n)? *```(\w+)\n([^]*?)^ *```$/gm)]
    .filter(([, mark, of]) => !mark && of === language)
    .map((found) => ({ line: text.slice(0, found.index).split('\n').length, text: found[3] }));
}

before(async () => {
  psql('-c', `CREATE DATABASE ${database} TEMPLATE commerce_template`);
  psql('-d', database, '-c', `SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin')`);
  for (const file of ['demo', 'storefront']) psql('-d', database, '-f', join(root, `scripts/${file}.sql`));
  const [port, admin] = [await freePort(), await freePort()];
  shop = `http://127.0.0.1:${port}`;
  postgrest = spawn(process.env.POSTGREST ?? 'postgrest', [join(root, 'deploy/postgrest.conf')], { stdio: 'ignore', env: { ...process.env,
    PGRST_DB_URI: `host=${process.env.PGHOST} port=${process.env.PGPORT} dbname=${database} user=authenticator`, PGRST_DB_ANON_ROLE: 'api_anon',
    PGRST_JWT_SECRET: process.env.COMMERCE_JWT_SECRET, PGRST_SERVER_HOST: '127.0.0.1', PGRST_SERVER_PORT: String(port), PGRST_ADMIN_SERVER_PORT: String(admin) } });
  for (let i = 0; i < 300; i++) {
    try {
      if ((await fetch(`http://127.0.0.1:${admin}/ready`)).ok) return;
    } catch { /* not yet */ }
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error('PostgREST did not start');
});
after(async () => {
  if (postgrest.exitCode === null) { postgrest.kill(); await once(postgrest, 'exit'); }
  rmSync(work, { recursive: true });
});

for (const [page, least] of [['docs/rest.md', 6], ['README.md', 1]])
  test(`${page}: its examples in a shell`, () => {
    const found = blocks(page, 'sh');
    assert.ok(found.length >= least, `${found.length} examples`);
    const script = join(work, 'script');
    // a request that fails ends it; what is read from an answer is there
    writeFileSync(script, [
      'set -euo pipefail', 'curl() { command curl --silent --show-error --fail-with-body "$@"; echo; }',
      `SHOP=${shop}`, 'JSON="Content-Type: application/json"', ...Object.entries(roles).map(([role, jwt]) => `${role.toUpperCase()}="Authorization: Bearer ${jwt}"`),
      ...found.map(({ line, text }) => `echo "== ${page}, line ${line}" >&2\n${text}`),
      '[[ ! ${sheet+x} || ( $coupon && $held && $sheet && $order && $item && $parcel && $kept ) ]]', 'echo "== the end" >&2',
    ].join('\n'));
    let told;
    try { told = execFileSync('bash', [script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }); }
    catch (error) { assert.fail(`${error.stderr}\n${error.stdout.slice(-1500)}`); }
    assert.match(told, /"code":\s*"SUCCESS"/);
  });

test('docs/rest.md: its examples in JavaScript', async () => {
  const found = blocks('docs/rest.md', 'js');
  assert.ok(found.length);
  for (const { text } of found) {
    const run = new Function('PostgrestClient', 'token', `return (async () => { ${text.replace('http://localhost:3000', shop)}\nreturn { data, answer, error }; })()`);
    const { data, answer, error } = await run(PostgrestClient, roles.buyer);
    assert.equal(error, null);
    assert.ok(data.length > 3);
    assert.equal(answer.code, 'SUCCESS');
  }
});

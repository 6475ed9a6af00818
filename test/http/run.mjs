// Starts PostgREST on the database of the usual environment variables, runs the tests of this folder, as TAP,
// and ends it.
//
//   POSTGREST=/path/to/postgrest node run.mjs [FILE...]

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const here = import.meta.dirname;
const work = mkdtempSync(join(tmpdir(), 'commerce-http-'));
const children = [];

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function start(command, args, env) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  child.output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { child.output += data; });
  child.on('error', (error) => { child.output += error.message; });
  children.push(child);
  return child;
}

async function ready(child, url, what) {
  for (let i = 0; i < 600; i++) {
    try {
      if ((await fetch(url)).status < 500) return;
    } catch { /* not yet */ }
    if (child.exitCode !== null) break;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${what} did not start:\n${child.output}`);
}

let status = 1;
try {
  const secret = randomBytes(32).toString('hex');
  const [port, admin] = [await freePort(), await freePort()];
  const direct = `http://127.0.0.1:${port}`;
  // the configuration that we recommend
  const postgrest = start(process.env.POSTGREST ?? 'postgrest', [join(here, '../../deploy/postgrest.conf')], {
    PGRST_DB_URI: `host=${process.env.PGHOST} port=${process.env.PGPORT} dbname=${process.env.PGDATABASE} user=authenticator`,
    PGRST_DB_ANON_ROLE: 'api_anon', PGRST_JWT_SECRET: secret, PGRST_SERVER_HOST: '127.0.0.1', PGRST_SERVER_PORT: String(port), PGRST_ADMIN_SERVER_PORT: String(admin), PGRST_LOG_LEVEL: 'warn',
  });
  await ready(postgrest, `http://127.0.0.1:${admin}/ready`, 'PostgREST');

  const files = process.argv.slice(2);
  if (!files.length) files.push(...readdirSync(here).filter((name) => name.endsWith('.test.mjs')).map((name) => join(here, name)));
  const tests = spawn(process.execPath, ['--test', '--test-reporter=tap', '--test-concurrency=1', ...files], {
    env: { ...process.env, COMMERCE_URL: direct, COMMERCE_ADMIN_URL: `http://127.0.0.1:${admin}`, COMMERCE_JWT_SECRET: secret },
    stdio: 'inherit',
  });
  [status] = await once(tests, 'exit');
  writeFileSync(join(process.env.COMMERCE_HTTP_LOG ?? work, 'postgrest.log'), postgrest.output);
} catch (error) {
  console.error(error.message);
} finally {
  for (const child of children) child.kill();
  rmSync(work, { recursive: true, force: true });
}
process.exit(status ?? 1);

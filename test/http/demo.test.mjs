// The demo's web servers for Swagger UI and the storefront.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

// the first line of what is answered; fetch() would put the path right
async function ask(port, path) {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => { answer += data; });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  return answer.split('\r\n')[0];
}

const servers = {
  'swagger-ui.mjs': (folder, port) => [folder, port, 'http://127.0.0.1:1/'],
  'storefront.mjs': (folder, port) => [folder, join(folder, 'swagger-ui.css'), port],
};
for (const [script, parameters] of Object.entries(servers)) {
  test(`no request ends ${script}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'commerce-demo-'));
    for (const name of ['swagger-ui.css', 'index.html']) writeFileSync(join(folder, name), 'x');
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port } = free.address();
    free.close();
    await once(free, 'close');
    // a shop that does not answer
    const server = spawn(process.execPath, [join(import.meta.dirname, '../../scripts', script), ...parameters(folder, String(port))], { stdio: 'ignore', env: { ...process.env, SHOP_URL: 'http://127.0.0.1:1', JWT_SECRET: 'x', ADMIN_ID: '1' } });
    t.after(() => { server.kill(); rmSync(folder, { recursive: true }); });
    for (let i = 0; i < 100; i++) {
      try {
        assert.equal(await ask(port, '/'), 'HTTP/1.1 200 OK');
        break;
      } catch (error) {
        if (error.code !== 'ECONNREFUSED') throw error;
        await new Promise((done) => setTimeout(done, 100));
      }
    }
    for (const path of ['//', '///', '/..', '/%', '/%ff', '/swagger-ui.css/..', '/none.css', `/${script}`, 'http://[/', '*', '/settings.json'])
      assert.match(await ask(port, path), /^HTTP\/1.1 (200|404|502)/, path);
    assert.equal(await ask(port, '/swagger-ui.css'), 'HTTP/1.1 200 OK');
    assert.equal(server.exitCode, null);
  });
}

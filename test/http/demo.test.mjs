// The demo's web server for Swagger UI.

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
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  return answer.split('\r\n')[0];
}

test('no request ends it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'commerce-swagger-'));
  writeFileSync(join(folder, 'swagger-ui.css'), 'x');
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address();
  free.close();
  await once(free, 'close');
  const server = spawn(process.execPath, [join(import.meta.dirname, '../../scripts/swagger-ui.mjs'), folder, String(port), 'http://127.0.0.1:1/'], { stdio: 'ignore' });
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
  for (const path of ['//', '///', '/..', '/%', '/%ff', '/swagger-ui.css/..', '/none.css', '/swagger-ui.mjs', 'http://[/', '*'])
    assert.match(await ask(port, path), /^HTTP\/1.1 (200|404)/, path);
  assert.equal(await ask(port, '/swagger-ui.css'), 'HTTP/1.1 200 OK');
  assert.equal(server.exitCode, null);
});

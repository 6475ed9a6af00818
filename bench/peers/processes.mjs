// What is started here is started again when it dies, until it is stopped; and the CPU time of it.

import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, openSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { once } from 'node:events';

const log = openSync('log', 'a');
export const running = new Set();

export class Process {
  constructor(command, args, { env = {}, cwd, port, patience = 30 } = {}) {
    Object.assign(this, { command, args, options: { env: { ...process.env, ...env }, cwd, stdio: ['ignore', log, log] }, port, patience });
  }

  async start() {
    running.add(this);
    this.spawn();
    if (this.port) await answers(this.port, this.patience, this);
    return this;
  }

  spawn() {
    this.child = spawn(this.command, this.args, this.options);
    this.child.once('exit', async () => {
      this.deaths = (this.deaths ?? 0) + 1;
      await sleep(300);
      if (running.has(this)) this.spawn();
    });
  }

  kill() {
    process.kill(this.child.pid, 'SIGKILL');
  }

  async stop() {
    running.delete(this);
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    this.child.kill('SIGCONT');
    const impatient = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(impatient);
  }
}

async function answers(port, patience, process) {
  for (let tries = 0; tries < patience * 10; tries++) {
    const there = await new Promise((done) => {
      const socket = connect(typeof port === 'string' ? { path: port } : { port, host: '127.0.0.1' });
      socket.once('connect', () => { socket.destroy(); done(true); }).once('error', () => done(false));
    });
    if (there) return;
    await sleep(100);
    if (process.deaths > 3) break;
  }
  throw new Error(`${process.command} ${process.args.join(' ')} did not start; its words are in the file log`);
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

// CPU seconds that these processes and all below them have used, those that have ended included
export function cpu(pids) {
  const all = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const field = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
      all.set(Number(pid), { parent: Number(field[1]), ticks: field.slice(11, 15).reduce((sum, n) => sum + Number(n), 0) });
    } catch { /* it has ended */ }
  }
  const counted = (pid) => pid > 1 && (pids.includes(pid) || counted(all.get(pid)?.parent ?? 0));
  let ticks = 0;
  for (const [pid, { ticks: used }] of all) if (counted(pid)) ticks += used;
  return ticks / 100;
}

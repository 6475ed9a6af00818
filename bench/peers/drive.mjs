// The driver: in rounds, each system in turn sells spread orders, and then 1 000 units of one product to 200 buyers.
// Options and what is printed: see run.

import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Process, cpu, running } from './processes.mjs';
import { redis, redisSocket, sql, systems } from './systems.mjs';

const { values: option, positionals } = parseArgs({ allowPositionals: true, options: {
  rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '8' }, clients: { type: 'string', default: '32' },
  buyers: { type: 'string', default: '200' }, units: { type: 'string', default: '1000' }, kill: { type: 'boolean', default: false } } });
const number = (name) => Number(option[name]);

// So many clients place orders, one after the other, until the time is over: of each, until next() gives no items.
async function load(system, clients, next, seconds, seen = () => {}) {
  const times = [], failures = new Map();
  const end = performance.now() + seconds * 1000;
  const started = performance.now();
  await Promise.all(Array.from({ length: clients }, async (_, n) => {
    const buy = system.buyer(n);
    while (performance.now() < end) {
      const began = performance.now();
      try {
        if (await buy(next()) === 'sold out') return;
        times.push(performance.now() - began);
        seen(times.length);
      } catch (error) {
        const what = (error.code ?? error.message ?? String(error)).slice(0, 150);
        failures.set(what, (failures.get(what) ?? 0) + 1);
        await sleep(50);
      }
    }
  }));
  times.sort((a, b) => a - b);
  const quantile = (q) => times[Math.min(times.length - 1, Math.floor(times.length * q))];
  return { orders: times.length, rate: times.length / ((performance.now() - started) / 1000), p50: quantile(0.5), p99: quantile(0.99), failures };
}

const random = (n) => Math.floor(Math.random() * n) + 1;
const twoLines = (products) => () => {
  const first = random(products);
  return [{ product_id: first, quantity: 1 }, { product_id: first % products + 1, quantity: 2 }];
};

async function spread(system, seconds) {
  const pids = () => [Number(process.env.SERVER_PID), server.child.pid, ...system.pids()];
  const before = cpu(pids());
  const result = await load(system, number('clients'), twoLines(system.products), seconds);
  return { ...result, cpu: 1000 * (cpu(pids()) - before) / result.orders };
}

async function flash(system, kill) {
  const units = Math.ceil(number('units') * (system.share ?? 1));
  const product = await system.product(units);
  let killed = !kill;
  const result = await load(system, number('buyers'), () => [{ product_id: product, quantity: 1 }], 120, (sold) => {
    if (killed || sold < units / 3) return;
    killed = true;
    system.kill();
  });
  if (kill) await sleep(2000);
  const { sold, left } = await system.audit(product);
  if (result.orders > sold) throw new Error(`${result.orders} were told that they have it, ${sold} have it`);
  return { ...result, units, oversold: Math.max(0, sold - units), lost: Math.max(0, units - sold - left), unsold: Math.max(0, Math.min(left, units - sold)) };
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const spreadOf = (list, digits) => `${median(list).toFixed(digits)} (${Math.min(...list).toFixed(digits)}–${Math.max(...list).toFixed(digits)})`;
const sums = (list) => list.join(', ');

const server = new Process('redis-server', ['--port', '0', '--unixsocket', redisSocket, '--appendonly', 'yes', '--save', ''], { port: redisSocket });
const results = {};
try {
  await server.start();
  for (let product = 1; product <= 1000; product++) await redis.set(`stock:${product}`, 1000000000);
  const names = Object.keys(systems).filter((name) => !positionals.length || positionals.some((wanted) => name.includes(wanted)));
  for (let round = 0; round < number('rounds'); round++) {
    for (const name of round % 2 ? names.toReversed() : names) {
      const system = systems[name]();
      await system.start();
      try {
        await spread(system, 2); // warm
        await sql('shop', 'CHECKPOINT');
        const row = { spread: await spread(system, number('seconds')), flash: await flash(system, option.kill) };
        (results[name] ??= []).push(row);
        console.log(`${name}: ${row.spread.cpu.toFixed(2)} ms of CPU, ${row.spread.rate.toFixed(0)}/s (p99 ${row.spread.p99.toFixed(0)} ms); flash ${row.flash.rate.toFixed(0)}/s,`
          + ` p50 ${row.flash.p50?.toFixed(0)} p99 ${row.flash.p99?.toFixed(0)} ms, of ${row.flash.units}: ${row.flash.oversold} oversold, ${row.flash.lost} lost, ${row.flash.unsold} unsold`);
        for (const part of [row.spread, row.flash]) for (const [what, times] of part.failures) console.log(`    ${times} × ${what}`);
      } finally {
        await system.stop();
      }
    }
  }
} finally {
  redis.disconnect();
  for (const process of running) await process.stop();
}

const lines = Object.entries(results).map(([name, rows]) => {
  const of = (part, what) => rows.map((row) => row[part][what]);
  return [name, spreadOf(of('spread', 'cpu'), 2), spreadOf(of('spread', 'rate'), 0), spreadOf(of('flash', 'rate'), 0), `${median(of('flash', 'p50')).toFixed(0)} / ${median(of('flash', 'p99')).toFixed(0)}`,
    sums(of('flash', 'oversold')), sums(of('flash', 'lost')), sums(of('flash', 'unsold'))];
});
const table = [['', 'CPU, ms an order', 'orders/s', 'flash: orders/s', 'p50 / p99, ms', 'oversold', 'lost', 'unsold'], Array(8).fill('---'), ...lines].map((line) => `| ${line.join(' | ')} |\n`).join('');
console.log(`\n${table}`);
writeFileSync('results.md', table);

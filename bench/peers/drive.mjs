// The driver: in rounds, each system in turn sells spread orders, and then 1 000 units of one product to 200 buyers.
// Options and what is printed: see run.

import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Process, cpu, running } from './processes.mjs';
import { picture } from './picture.mjs';
import { redis, redisSocket, sql, systems } from './systems.mjs';

const { values: option, positionals } = parseArgs({ allowPositionals: true, options: {
  rounds: { type: 'string', default: '3' }, orders: { type: 'string', default: '1000' }, clients: { type: 'string', default: '32' },
  buyers: { type: 'string', default: '200' }, units: { type: 'string', default: '1000' }, warm: { type: 'string', default: '2000' }, kill: { type: 'boolean', default: false } } });
const number = (name) => Number(option[name]);

// So many clients place orders, one after the other, until there are so many of them, all is sold out, or two minutes are over.
async function load(system, clients, next, orders, seen = () => {}) {
  const times = [], failures = new Map();
  const started = performance.now();
  const end = started + 120000;
  await Promise.all(Array.from({ length: clients }, async (_, n) => {
    const buy = system.buyer(n);
    while (times.length < orders && performance.now() < end) {
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

const share = (system, name) => Math.ceil(number(name) * (system.share ?? 1));

// CPU time of each part, in ms an order
async function spread(system) {
  const used = () => {
    const { application, publisher } = system.pids();
    return Object.entries({ application, PostgreSQL: [Number(process.env.SERVER_PID)], Redis: [server.child.pid], publisher }).map(([part, pids]) => [part, cpu(pids)]);
  };
  const before = used();
  const result = await load(system, number('clients'), twoLines(system.products), share(system, 'orders'));
  const parts = used().map(([part, seconds], i) => [part, 1000 * (seconds - before[i][1]) / result.orders]);
  return { ...result, parts, cpu: parts.reduce((sum, [, ms]) => sum + ms, 0) };
}

// Of the units: oversold are in orders beyond them; lost are in no order and cannot be sold any more; unsold can be
// sold, though nobody wants more; untold are in orders that no buyer was told of.
async function flash(system) {
  const units = share(system, 'units');
  const product = await system.product(units);
  let killed = !option.kill;
  const result = await load(system, number('buyers'), () => [{ product_id: product, quantity: 1 }], Infinity, (sold) => {
    if (killed || sold < units / 3) return;
    killed = true;
    system.kill();
  });
  if (option.kill) await sleep(2000);
  const { sold, left } = await system.audit(product);
  if (result.orders > sold) throw new Error(`${result.orders} were told that they have it, ${sold} have it`);
  return { ...result, units, oversold: Math.max(0, sold - units), lost: Math.max(0, units - sold - left), unsold: Math.max(0, Math.min(left, units - sold)), untold: sold - result.orders };
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const withSpread = (list, digits) => `${median(list).toFixed(digits)} (${Math.min(...list).toFixed(digits)}–${Math.max(...list).toFixed(digits)})`;

function report(name, { spread, flash }) {
  console.log(`${name}: ${spread.cpu.toFixed(2)} ms of CPU (${spread.parts.map(([part, ms]) => `${part} ${ms.toFixed(2)}`).join(', ')}), ${spread.rate.toFixed(0)}/s (p99 ${spread.p99?.toFixed(0)} ms); flash ${flash.rate.toFixed(0)}/s,`
    + ` p50 ${flash.p50?.toFixed(0)} p99 ${flash.p99?.toFixed(0)} ms, of ${flash.units}: ${flash.oversold} oversold, ${flash.lost} lost, ${flash.unsold} unsold, ${flash.untold} in orders of which nobody was told`);
  for (const part of [spread, flash]) for (const [what, times] of part.failures) console.log(`    ${times} × ${what}`);
}

const server = new Process('redis-server', ['--port', '0', '--unixsocket', redisSocket, '--appendonly', 'yes', '--save', ''], { port: redisSocket });
const results = {};
const names = Object.keys(systems).filter((name) => !positionals.length || positionals.some((wanted) => name.startsWith(wanted)));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { for (const process of running) process.kill(); process.exit(1); });
const started = names.map((name) => [name, systems[name]()]);
try {
  await server.start();
  for (let product = 1; product <= 1000; product++) await redis.set(`stock:${product}`, 1000000000);
  for (const [, system] of started) {
    await system.start();
    // just-in-time compilers need some thousands of orders
    await load(system, number('clients'), twoLines(system.products), share(system, 'warm'));
    system.pause();
  }
  for (let round = 0; round < number('rounds'); round++) {
    for (const [name, system] of round % 2 ? started.toReversed() : started) {
      system.resume();
      await sql('shop', 'CHECKPOINT');
      const row = { spread: await spread(system), flash: await flash(system) };
      system.pause();
      (results[name] ??= []).push(row);
      report(name, row);
    }
  }
} finally {
  for (const [, system] of started) await system.stop();
  redis.disconnect();
  for (const process of running) await process.stop();
}

const header = ['', 'CPU of an order, ms', 'of it application, PostgreSQL, Redis, publisher', 'orders/s', 'flash sale: orders/s', 'p50 / p99, ms', 'oversold', 'lost', 'unsold', 'untold'];
const lines = Object.entries(results).map(([name, rows]) => {
  const of = (part, what) => rows.map((row) => row[part][what]);
  const part = (i) => median(rows.map((row) => row.spread.parts[i][1])).toFixed(2);
  return [name, withSpread(of('spread', 'cpu'), 2), [0, 1, 2, 3].map(part).join(' + '), withSpread(of('spread', 'rate'), 0), withSpread(of('flash', 'rate'), 0),
    `${median(of('flash', 'p50'))?.toFixed(0)} / ${median(of('flash', 'p99'))?.toFixed(0)}`, ...['oversold', 'lost', 'unsold', 'untold'].map((what) => of('flash', what).join(', '))];
});
const table = [header, header.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |\n`).join('');
console.log(`\n${table}`);
writeFileSync('results.svg', picture(Object.entries(results).map(([name, rows]) => [name, median(rows.map((row) => row.spread.cpu))])));

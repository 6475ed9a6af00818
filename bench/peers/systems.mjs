// What is measured. Each system can
//   start(), stop()       its processes; PostgreSQL and Redis run all the time
//   buyer(n)              a function that places an order for the n-th buyer: answers 'sold' or 'sold out', or throws
//   product(units)        a product with so many units, and no orders yet
//   audit(product)        of it: sold (units in orders), left (units that can still be sold)
//   kill()                kill -9 of one of its processes, or of what is there instead

import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { Redis } from 'ioredis';
import pg from 'pg';
import { Process, freePort } from './processes.mjs';

export const redisSocket = `${process.cwd()}/redis.socket`;
export const redis = new Redis(redisSocket, { lazyConnect: true });
const secret = process.env.JWT_SECRET;
const users = 1000;

const agent = new Agent({ keepAlive: true });
export function post(port, path, headers, body) {
  return new Promise((done, failed) => {
    const message = request({ agent, port, host: '127.0.0.1', path, method: 'POST', timeout: 60000,
      headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...headers } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => { text += chunk; }).on('end', () => done({ status: response.statusCode, headers: response.headers, text })).on('error', failed);
    });
    message.on('error', failed).on('timeout', () => message.destroy(new Error('no answer'))).end(body);
  });
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const tokens = Array.from({ length: users }, (_, i) => {
  const content = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ role: 'web_buyer', sub: String(i + 1), aud: 'shop', exp: Math.floor(Date.now() / 1000) + 86400 })}`;
  return `Bearer ${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`;
});
const random = (n) => Math.floor(Math.random() * n);

export async function sql(database, text, values) {
  const client = new pg.Client({ database });
  await client.connect();
  try { return (await client.query(text, values)).rows; } finally { await client.end(); }
}

class System {
  processes = [];
  // products that spread orders are of
  products = 1000;

  async run(...of) {
    const made = new Process(...of);
    this.processes.push(made);
    return made.start();
  }

  async stop() {
    for (const process of this.processes.splice(0)) await process.stop();
  }

  pids() { return this.processes.map((process) => process.child.pid); }
  kill() { this.processes[0].kill(); }

  // orders by HTTP, each of another user
  buyer(n) {
    const port = this.ports[n % this.ports.length];
    return async (items) => {
      const { status, text } = await post(port, this.path, { Authorization: tokens[random(users)] }, JSON.stringify({ items }));
      if (status === 201) return 'sold';
      if (status === 409 && this.soldOut.test(text)) return 'sold out';
      throw new Error(`${status} ${text}`);
    };
  }
}

class Stateless extends System {
  path = '/orders';
  soldOut = /sold out/;

  constructor(form) {
    super();
    this.form = form;
  }

  // two processes, one for each core
  async start() {
    this.ports = [await freePort(), await freePort()];
    const env = { PGDATABASE: this.form === 'place_order' ? 'shop' : 'stateless', REDIS: redisSocket };
    for (const port of this.ports) await this.run(process.execPath, ['stateless.mjs', port, this.form], { env, port });
    await this.run(process.execPath, ['publish.mjs', this.form === 'place_order' ? 'commerce' : 'outbox'], { env });
  }

  async product(units) {
    if (this.form === 'place_order') return commerceProduct(units);
    const [{ id }] = await sql('stateless', "INSERT INTO products (seller_id, name, price) VALUES (1, 'hot', 100) RETURNING id");
    await redis.set(`stock:${id}`, units);
    return Number(id);
  }

  async audit(product) {
    if (this.form === 'place_order') return commerceAudit(product);
    const [{ sold }] = await sql('stateless', 'SELECT coalesce(sum(quantity), 0)::int AS sold FROM order_items WHERE product_id = $1', [product]);
    return { sold, left: Number(await redis.get(`stock:${product}`)) };
  }
}

async function commerceProduct(units) {
  return Number((await sql('shop', "SELECT commerce.create_product(1, 'hot', 100, $1) AS id", [units]))[0].id);
}

async function commerceAudit(product) {
  const broken = await sql('shop', 'SELECT * FROM commerce.check_invariants()');
  if (broken.length) throw new Error(`commerce's books are wrong: ${JSON.stringify(broken)}`);
  return (await sql('shop', 'SELECT (SELECT coalesce(sum(quantity), 0)::int FROM commerce.order_items WHERE product_id = $1) AS sold, commerce.available_stock($1)::int AS left', [product]))[0];
}

class CommerceByPostgrest extends System {
  path = '/rpc/place_order';
  soldOut = /STOCK_NOT_ENOUGH/;
  product = commerceProduct;
  audit = commerceAudit;

  constructor(proxy) {
    super();
    this.proxy = proxy;
  }

  async start() {
    const [port, admin] = [await freePort(), await freePort()];
    await this.run(process.env.POSTGREST, ['deploy/postgrest.conf'], { port, env: {
      PGRST_DB_URI: `host=${process.env.PGHOST} port=${process.env.PGPORT} dbname=shop user=authenticator`,
      PGRST_JWT_SECRET: secret, PGRST_SERVER_PORT: port, PGRST_ADMIN_SERVER_PORT: admin, GHCRTS: '-A64m' } });
    this.ports = [port];
    await this.run(process.execPath, ['publish.mjs', 'commerce'], { env: { PGDATABASE: 'shop', REDIS: redisSocket } });
    if (!this.proxy) return;
    this.ports = [await freePort()];
    writeFileSync('haproxy.cfg', readFileSync('deploy/haproxy.cfg', 'utf8').replace(/bind :443 .*/, `bind 127.0.0.1:${this.ports[0]}`)
      .replace(/127.0.0.1:3000 check port 3001/, `127.0.0.1:${port} check port ${admin}`));
    await this.run('haproxy', ['-f', 'haproxy.cfg'], { port: this.ports[0] });
  }
}

class CommerceBySql extends System {
  product = commerceProduct;
  audit = commerceAudit;

  async start() {
    this.connections = [];
    await this.run(process.execPath, ['publish.mjs', 'commerce'], { env: { PGDATABASE: 'shop', REDIS: redisSocket } });
  }

  async stop() {
    await Promise.all(this.connections.map(async (client) => (await client)?.end()));
    await super.stop();
  }

  // the n-th of 16 connections, made anew when it is lost
  connection(n) {
    return this.connections[n] ??= (async () => {
      const client = new pg.Client({ database: 'shop' });
      const lost = () => { this.connections[n] = undefined; };
      client.on('error', lost).on('end', lost);
      await client.connect().catch((error) => { lost(); throw error; });
      return client;
    })();
  }

  buyer(n) {
    return async (items) => {
      try {
        const client = await this.connection(n % 16);
        await client.query({ name: 'place', text: 'SELECT id FROM commerce.place_order($1, $2)', values: [random(users) + 1, JSON.stringify(items)] });
        return 'sold';
      } catch (error) {
        if (error.code === 'SH001') return 'sold out';
        throw error;
      }
    };
  }

  // there is no application: a backend, for which the server restarts all of them
  async kill() {
    const [{ pid }] = await sql('shop', "SELECT pid FROM pg_stat_activity WHERE datname = 'shop' AND backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1");
    process.kill(pid, 'SIGKILL');
  }
}

export const systems = {
  'application, several statements': () => new Stateless('statements'),
  'application, one statement': () => new Stateless('one'),
  'application, place_order()': () => new Stateless('place_order'),
  'commerce by SQL': () => new CommerceBySql(),
  'commerce by PostgREST': () => new CommerceByPostgrest(false),
  'commerce by HAProxy and PostgREST': () => new CommerceByPostgrest(true),
};

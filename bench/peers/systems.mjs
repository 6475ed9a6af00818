// What is measured. Each system can
//   start(), stop()       its processes; PostgreSQL and Redis run all the time
//   pause(), resume()     them, while others are measured
//   buyer(n)              a function that places an order for the n-th buyer: answers 'sold' or 'sold out', or throws
//   product(units)        a product with so many units, and no orders yet
//   audit(product)        of it: sold (units in orders), left (units that can still be sold)
//   kill()                kill -9 of one of its processes, or of what is there instead

import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
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

// waits for a server that recovers
export async function sql(database, text, values) {
  for (let tries = 0;; tries++) {
    const client = new pg.Client({ database });
    client.on('error', () => {});
    try {
      await client.connect();
      return (await client.query(text, values)).rows;
    } catch (error) {
      if (error.code !== '57P03' || tries > 600) throw error;
      await sleep(100);
    } finally {
      await client.end().catch(() => {});
    }
  }
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

  pause() { for (const process of this.processes) process.child.kill('SIGSTOP'); }
  resume() { for (const process of this.processes) process.child.kill('SIGCONT'); }
  // by what they do
  pids() {
    const publishing = (process) => process.args.includes('publish.mjs');
    const pids = (processes) => processes.map((process) => process.child.pid);
    return { application: pids(this.processes.filter((process) => !publishing(process))), publisher: pids(this.processes.filter(publishing)) };
  }

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
  connections = [];

  async start() {
    await this.run(process.execPath, ['publish.mjs', 'commerce'], { env: { PGDATABASE: 'shop', REDIS: redisSocket } });
  }

  async stop() {
    await Promise.all(this.connections.map(async (client) => (await client)?.end()));
    await super.stop();
  }

  // the n-th of 16 connections, made anew when it is lost
  connection(n) {
    return this.connections[n] ??= (async () => {
      const client = new pg.Client({ database: 'shop', pipeline: true });
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

// What Vendure and Medusa have in common: they are slow, so they sell less, and a buyer goes a way of several requests.
class Shop extends System {
  share = 0.1;
  products = 100;
  used = 100;

  constructor(folder, processes, command, env = {}) {
    super();
    Object.assign(this, { folder, count: processes, command, env });
  }

  async start() {
    this.ports = await Promise.all(Array.from({ length: this.count }, freePort));
    for (const port of this.ports) {
      await this.run(...this.command(port), { cwd: this.folder, port, patience: 180, env: { ...this.env, PORT: port, HOST: '127.0.0.1' } });
    }
  }

  async ask(port, path, headers, body) {
    const { status, headers: answered, text } = await post(port, path, headers, JSON.stringify(body));
    let answer;
    try { answer = JSON.parse(text); } catch { throw new Error(`${status} ${text}`); }
    return { status, answered, answer };
  }
}

class Vendure extends Shop {
  constructor() {
    super('vendure', 2, (port) => [process.execPath, ['server.mjs', port]]);
  }

  // a guest: the first line makes the order, and a session; the rest is one request
  buyer(n) {
    const port = this.ports[n % this.count];
    let token;
    const mutation = async (body) => {
      const { answered, answer } = await this.ask(port, '/shop-api', token ? { Authorization: `Bearer ${token}` } : {}, { query: `mutation { ${body} }` });
      token = answered['vendure-auth-token'] ?? token;
      const failed = answer.errors?.[0] ?? Object.values(answer.data).find((part) => part.errorCode);
      if (failed) token = undefined;
      return failed;
    };
    const add = (item, name) => `${name}: addItemToOrder(productVariantId: ${item.product_id}, quantity: ${item.quantity}) { __typename ... on ErrorResult { errorCode message } }`;
    return async ([first, ...others]) => {
      const failed = await mutation(add(first, 'first')) ?? await mutation(`
        ${others.map((item, i) => add(item, `line${i}`)).join('\n')}
        customer: setCustomerForOrder(input: {firstName: "Kim", lastName: "${n}", emailAddress: "buyer${n}@example.com"}) { __typename ... on ErrorResult { errorCode message } }
        address: setOrderShippingAddress(input: {streetLine1: "1", countryCode: "KR"}) { __typename ... on ErrorResult { errorCode message } }
        shipping: setOrderShippingMethod(shippingMethodId: [1]) { __typename ... on ErrorResult { errorCode message } }
        checkout: transitionOrderToState(state: "ArrangingPayment") { __typename ... on OrderStateTransitionError { errorCode message transitionError } }
        paid: addPaymentToOrder(input: {method: "always-good", metadata: {}}) { __typename ... on Order { state } ... on ErrorResult { errorCode message } }`);
      if (!failed) return 'sold';
      if (failed.errorCode === 'INSUFFICIENT_STOCK_ERROR' || /stock/i.test(failed.transitionError)) return 'sold out';
      throw new Error(`${failed.errorCode ?? ''} ${failed.message} ${failed.transitionError ?? ''}`);
    };
  }

  async product(units) {
    await sql('vendure', 'UPDATE stock_level SET "stockOnHand" = "stockAllocated" + $2 WHERE "productVariantId" = $1', [++this.used, units]);
    return this.used;
  }

  async audit(product) {
    return (await sql('vendure', `SELECT coalesce(sum(l.quantity), 0)::int AS sold, (SELECT greatest("stockOnHand" - "stockAllocated", 0) FROM stock_level WHERE "productVariantId" = $1) AS left
      FROM order_line l JOIN "order" o ON o.id = l."orderId" WHERE l."productVariantId" = $1 AND o."orderPlacedAt" IS NOT NULL`, [product]))[0];
  }
}

// one process: it knows locks between several of them only with another module
class Medusa extends Shop {
  constructor() {
    super('medusa', 1, (port) => ['node_modules/.bin/medusa', ['start', '--port', port, '--host', '127.0.0.1']], { NODE_ENV: 'production', MEDUSA_DISABLE_TELEMETRY: 'true' });
    this.shop = JSON.parse(readFileSync('medusa/shop.json'));
  }

  buyer(n) {
    const port = this.ports[n % this.count];
    const { key, region, shipping, variants } = this.shop;
    const store = async (path, body) => {
      const { status, answer } = await this.ask(port, `/store/${path}`, { 'x-publishable-api-key': key }, body);
      if (status !== 200) throw Object.assign(new Error(`${status} ${path.replace(/_\w{20,}/g, '_')} ${answer.message}`), { soldOut: /inventory/i.test(answer.message) });
      return answer;
    };
    return async (items) => {
      try {
        const { cart } = await store('carts', { region_id: region, email: `buyer${n}@example.com`, shipping_address: { first_name: 'Kim', last_name: String(n), address_1: '1', city: 'Seoul', country_code: 'kr' },
          items: items.map((item) => ({ variant_id: variants[item.product_id - 1].id, quantity: item.quantity })) });
        await store(`carts/${cart.id}/shipping-methods`, { option_id: shipping });
        const { payment_collection } = await store('payment-collections', { cart_id: cart.id });
        await store(`payment-collections/${payment_collection.id}/payment-sessions`, { provider_id: 'pp_system_default' });
        const made = await store(`carts/${cart.id}/complete`, {});
        if (made.type === 'order') return 'sold';
        if (/inventory/i.test(made.error?.message)) return 'sold out';
        throw new Error(made.error?.message);
      } catch (error) {
        if (error.soldOut) return 'sold out';
        throw error;
      }
    };
  }

  async product(units) {
    await sql('medusa', 'UPDATE inventory_level SET stocked_quantity = reserved_quantity + $2, raw_stocked_quantity = jsonb_build_object(\'value\', (reserved_quantity + $2)::text, \'precision\', 20) WHERE inventory_item_id = $1',
      [this.shop.variants[this.used].item, units]);
    return ++this.used;
  }

  async audit(product) {
    const { id, item } = this.shop.variants[product - 1];
    return (await sql('medusa', `SELECT coalesce(sum(i.quantity), 0)::int AS sold, (SELECT greatest(stocked_quantity - reserved_quantity, 0)::int FROM inventory_level WHERE inventory_item_id = $2) AS left
      FROM order_line_item l JOIN order_item i ON i.item_id = l.id WHERE l.variant_id = $1`, [id, item]))[0];
  }
}

export const systems = {
  Medusa: () => new Medusa(),
  Vendure: () => new Vendure(),
  'application, several statements': () => new Stateless('statements'),
  'application, one statement': () => new Stateless('one'),
  'application, place_order()': () => new Stateless('place_order'),
  'commerce by SQL': () => new CommerceBySql(),
  'commerce by PostgREST': () => new CommerceByPostgrest(false),
  'commerce by HAProxy and PostgREST': () => new CommerceByPostgrest(true),
};

// Tokens as identity providers make them: PostgREST checks them with the lines that docs/identity.md has for each, and
// whom they name is found by external_id.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { admin, call, direct, http, newBuyer, newProduct, token } from './shop.mjs';

const root = join(import.meta.dirname, '../..');
const work = mkdtempSync(join(tmpdir(), 'commerce-identity-'));
const [config, jwks] = [join(work, 'postgrest.conf'), join(work, 'jwks.json')];
const now = () => Math.floor(Date.now() / 1000);
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// the lines of a chapter of the docs, with the roles and the folder of the suite
function recipe(title) {
  const lines = readFileSync(join(root, 'docs/identity.md'), 'utf8').match(new RegExp(`^## ${title}$[^]*?^\`\`\`ini\n([^]*?)^\`\`\`$`, 'm'))[1];
  return lines.replaceAll('web_', 'api_').replaceAll('/etc/commerce/jwks.json', jwks);
}

function configure(lines) {
  const named = lines.match(/^[\w-]+(?= =)/gm);
  const rest = readFileSync(join(root, 'deploy/postgrest.conf'), 'utf8').split('\n').filter((line) => !named.includes(line.split(' =')[0]));
  writeFileSync(config, [...rest, lines].join('\n'));
}

const makers = {
  RS256: { pair: () => generateKeyPairSync('rsa', { modulusLength: 2048 }), sign: (key, content) => sign('sha256', content, key) },
  ES256: { pair: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), sign: (key, content) => sign('sha256', content, { key, dsaEncoding: 'ieee-p1363' }) },
};

function newKey(alg) {
  const { publicKey, privateKey } = makers[alg].pair();
  const kid = randomUUID();
  return {
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig', ...(alg === 'ES256' ? { key_ops: ['verify'], ext: true } : {}) },
    token(claims) {
      const content = `${encode({ alg, typ: 'JWT', kid })}.${encode({ iat: now(), exp: now() + 300, ...claims })}`;
      return `${content}.${makers[alg].sign(privateKey, Buffer.from(content)).toString('base64url')}`;
    },
  };
}

// Keycloak's set has a key for encryption, too
const encryption = () => ({ ...newKey('RS256').jwk, alg: 'RSA-OAEP', use: 'enc' });
const publish = (...keys) => writeFileSync(jwks, JSON.stringify({ keys: keys.map((key) => key.jwk ?? key) }));

// The claims of each provider: of a person with a role, or without one.
const providers = {
  Keycloak: {
    alg: 'RS256', subject: () => randomUUID(), audience: 'shop', more: encryption,
    claims: (sub, role) => ({
      iss: 'https://id.example/realms/shop', aud: ['shop', 'account'], sub, typ: 'Bearer', azp: 'storefront', sid: randomUUID(), acr: '1',
      realm_access: { roles: ['default-roles-shop', 'offline_access', ...(role ? [role] : []), 'uma_authorization'] },
      resource_access: { account: { roles: ['manage-account', 'view-profile'] } }, scope: 'openid email profile', email_verified: true, preferred_username: 'api_admin',
    }),
  },
  Auth0: {
    alg: 'RS256', subject: () => `auth0|${randomUUID().replaceAll('-', '').slice(0, 24)}`, audience: 'https://api.shop.example',
    claims: (sub, role) => ({
      iss: 'https://shop.eu.auth0.com/', aud: ['https://api.shop.example', 'https://shop.eu.auth0.com/userinfo'], sub, azp: 'AbCdEf', scope: 'openid profile email', permissions: [],
      ...(role ? { 'https://shop.example/role': role } : {}),
    }),
  },
  Supabase: {
    alg: 'ES256', subject: () => randomUUID(), audience: 'authenticated',
    claims: (sub, role) => ({
      iss: 'https://project.supabase.co/auth/v1', aud: 'authenticated', sub, email: 'kim@example.com', phone: '', role: 'authenticated', aal: 'aal1', amr: [{ method: 'password', timestamp: now() }],
      session_id: randomUUID(), is_anonymous: !role, app_metadata: { provider: 'email', providers: ['email'], ...(role ? { shop_role: role } : {}) }, user_metadata: { shop_role: 'api_admin', role: 'api_admin' },
    }),
  },
};

let url;
let postgrest;
after(() => {
  postgrest?.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true });
});

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function until(done, what) {
  for (const end = Date.now() + 120000; Date.now() < end;) {
    if (await done().catch(() => false)) return;
    await new Promise((later) => setTimeout(later, 100));
  }
  assert.fail(`${what}: ${postgrest.output}`);
}

const bearer = (value) => ({ Authorization: `Bearer ${value}` });
const ask = (path, value) => http(path, { url, headers: bearer(value) });
const balance = (value) => ask('/rpc/get_balance', value);
const does = (name, value, body) => http(`/rpc/${name}`, { url, method: 'POST', body, headers: bearer(value) });

// A token of that key is taken, or is not, from some moment on
const isTaken = (key, claims, taken) => until(async () => ((await balance(key.token(claims))).code !== 'PGRST301') === taken, 'the keys are not read anew');

test('a provider\'s keys and claims', async (t) => {
  for (const [name, provider] of Object.entries(providers)) {
    const key = newKey(provider.alg);
    const others = [newKey(provider.alg), ...(provider.more ? [provider.more()] : [])];
    const sub = provider.subject();
    const mine = (more = {}, role = 'api_buyer') => key.token({ ...provider.claims(sub, role), ...more });
    publish(...others, key);
    configure(recipe(name));
    if (postgrest === undefined) {
      const port = await freePort();
      url = `http://127.0.0.1:${port}`;
      postgrest = spawn(process.env.POSTGREST ?? 'postgrest', [config], {
        env: {
          ...process.env, PGRST_DB_URI: `host=${process.env.PGHOST} port=${process.env.PGPORT} dbname=${process.env.PGDATABASE} user=authenticator_external`,
          PGRST_DB_ANON_ROLE: 'api_anon', PGRST_SERVER_PORT: String(port), PGRST_ADMIN_SERVER_PORT: String(await freePort()), PGRST_DB_POOL: '1',
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      postgrest.output = '';
      for (const stream of [postgrest.stdout, postgrest.stderr]) stream.on('data', (data) => { postgrest.output += data; });
      await until(async () => (await fetch(`${url}/products?limit=1`)).status === 200, 'PostgREST does not start');
    } else {
      postgrest.kill('SIGUSR2');
    }
    await isTaken(key, provider.claims(sub, 'api_buyer'), true);

    await t.test(`${name}: a person signs up, and buys`, async () => {
      const nobody = await balance(mine());
      assert.deepEqual([nobody.status, nobody.code, nobody.headers.get('www-authenticate')], [401, 'UNAUTHENTICATED', 'Bearer'], nobody.text);
      assert.deepEqual((await ask('/users', mine())).json, []);
      const made = await does('sign_up', mine(), { name: 'Kim' });
      assert.deepEqual([made.status, made.data.external_id, made.data.role, made.data.balance], [201, sub, 'BUYER', 0], made.text);
      assert.deepEqual((await ask(made.headers.get('location'), mine())).json.map((user) => user.id), [made.data.id]);
      const again = await does('sign_up', mine(), { name: 'Other' });
      assert.deepEqual([again.status, again.data, again.headers.get('location')], [200, made.data, null]);
      assert.equal((await does('charge_balance', mine(), { amount: 100000 })).status, 200);
      assert.equal((await does('place_order', mine(), { items: [{ product_id: await newProduct(), quantity: 1 }] })).status, 201);
      assert.deepEqual((await ask('/orders', mine())).json.map((order) => order.user_id), [made.data.id]);
      // the subject is a string, and no id
      assert.equal((await balance(key.token(provider.claims(String(made.data.id), 'api_buyer')))).status, 401);
    });

    await t.test(`${name}: the role of the token and the user's row decide together`, async () => {
      assert.equal((await does('create_user', mine({}, 'api_admin'), { name: 'x' })).status, 403);
      assert.equal((await does('create_user', mine(), { name: 'x' })).status, 403);
      assert.equal((await balance(mine({}, null))).code, 'UNAUTHENTICATED');
      assert.equal((await ask('/products?limit=1', mine({}, null))).status, 200);
    });

    await t.test(`${name}: the audience`, async () => {
      assert.equal((await balance(mine({ aud: provider.audience }))).status, 200);
      assert.equal((await balance(mine({ aud: ['x', provider.audience] }))).status, 200);
      for (const aud of ['other', ['other'], '', `${provider.audience}/`, 5]) assert.equal((await balance(mine({ aud }))).status, 401, JSON.stringify(aud));
      for (const aud of [undefined, null, []]) {
        const answer = await balance(mine({ aud }));
        assert.deepEqual([answer.status, answer.code], [401, 'UNAUTHENTICATED'], JSON.stringify(aud));
      }
    });

    await t.test(`${name}: signatures and times`, async () => {
      const [header, claims, signature] = mine().split('.');
      const none = encode({ alg: 'none', typ: 'JWT' });
      for (const [what, value] of [
        ['of a key that is not published', newKey(provider.alg).token(provider.claims(sub, 'api_buyer'))],
        ['unsigned', `${none}.${claims}.`], ['with the signature of another', `${none}.${claims}.${signature}`],
        ['of another person', `${header}.${encode({ ...provider.claims(provider.subject(), 'api_buyer'), exp: now() + 300 })}.${signature}`],
        // the public key as a secret
        ['signed with what is public', token(provider.claims(sub, 'api_buyer'), { key: JSON.stringify(key.jwk) })],
        ['expired', mine({ exp: now() - 3600 })], ['not valid yet', mine({ nbf: now() + 3600 })]])
        assert.equal((await balance(value)).status, 401, what);
    });

    await t.test(`${name}: keys change`, async () => {
      const next = newKey(provider.alg);
      const theirs = provider.claims(sub, 'api_buyer');
      assert.equal((await balance(next.token(theirs))).status, 401);
      publish(key, next);
      postgrest.kill('SIGUSR2');
      await isTaken(next, theirs, true);
      assert.deepEqual([(await balance(next.token(theirs))).status, (await balance(mine())).status], [200, 200]);
      publish(next);
      postgrest.kill('SIGUSR2');
      await isTaken(key, theirs, false);
      assert.deepEqual([(await balance(next.token(theirs))).status, (await balance(mine())).status], [200, 401]);
    });
  }
});

test('what is done to a user elsewhere is so for the next request of a pooled connection', async () => {
  const key = newKey('ES256');
  const sub = randomUUID();
  const mine = (role) => key.token(providers.Supabase.claims(sub, role));
  publish(key);
  postgrest.kill('SIGUSR2');
  await isTaken(key, providers.Supabase.claims(sub, 'api_buyer'), true);
  const { data: { id } } = await does('sign_up', mine('api_buyer'), { name: 'Lee' });
  const change = (name, body) => call(admin, name, { user_id: id, ...body });
  await change('update_user', { external_id: `${sub} moved` });
  assert.equal((await balance(mine('api_buyer'))).status, 401);
  await change('update_user', { external_id: sub });
  assert.equal((await balance(mine('api_buyer'))).status, 200);
  await change('set_user_status', { status: 'SUSPENDED' });
  assert.equal((await does('charge_balance', mine('api_buyer'), { amount: 100 })).status, 403);
  await change('set_user_status', { status: 'ACTIVE' });
  assert.equal((await does('charge_balance', mine('api_buyer'), { amount: 100 })).status, 200);
  assert.equal((await ask('/my_products', mine('api_seller'))).status, 200);
  assert.equal((await does('create_product', mine('api_seller'), { name: 'x', price: 1, stock: 1 })).status, 403);
  await change('create_seller', { business_name: 'Lee', registration_number: sub });
  assert.equal((await does('create_product', mine('api_seller'), { name: 'x', price: 1, stock: 1 })).status, 201);
});

test('an e-mail that is taken links nothing, and two who sign up at once are one', async () => {
  const key = newKey('ES256');
  const of = (sub) => key.token(providers.Supabase.claims(sub, 'api_buyer'));
  publish(key);
  postgrest.kill('SIGUSR2');
  await isTaken(key, providers.Supabase.claims('x', 'api_buyer'), true);
  const email = `${randomUUID()}@example.com`;
  const [first, second] = [randomUUID(), randomUUID()];
  const twice = await Promise.all([1, 2, 3].map(() => does('sign_up', of(first), { name: 'Kim', email })));
  assert.deepEqual(new Set(twice.map((answer) => answer.data.id)).size, 1);
  const taken = await does('sign_up', of(second), { name: 'Thief', email });
  assert.deepEqual([taken.status, taken.code], [409, 'ALREADY_EXISTS']);
  assert.equal((await balance(of(second))).status, 401);
});

test('where tokens name ids nobody signs up, and an audience is required', async () => {
  const { who, id } = await newBuyer(0);
  const answer = await call(who, 'sign_up', { name: 'x' });
  assert.deepEqual([answer.status, answer.code], [403, 'FORBIDDEN']);
  const status = async (aud) => (await http('/rpc/get_balance', { url: direct, headers: bearer(token({ role: 'api_buyer', sub: String(id), aud })) })).status;
  assert.deepEqual([await status('shop'), await status(['x', 'shop'])], [200, 200]);
  for (const aud of [undefined, null, [], '', 'other', ['other']]) assert.equal(await status(aud), 401, JSON.stringify(aud));
});

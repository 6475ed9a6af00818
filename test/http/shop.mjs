// What the tests share: tokens, calls whose answers are compared with the OpenAPI document, and things of their own to work with.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { PostgrestClient } from '@supabase/postgrest-js';
import { direct, validated } from './document.mjs';

export { direct, validated };
export const base = direct;
export const adminUrl = process.env.COMMERCE_ADMIN_URL;
const secret = process.env.COMMERCE_JWT_SECRET;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export function token(claims, { key = secret, alg = 'HS256' } = {}) {
  const content = `${encode({ alg, typ: 'JWT' })}.${encode({ exp: Math.floor(Date.now() / 1000) + 3600, aud: 'shop', ...claims })}`;
  return `${content}.${alg === 'none' ? '' : createHmac('sha256', key).update(content).digest('base64url')}`;
}

// 'buyer 1' is a token of database role api_buyer for user 1
export const tokenOf = (who) => token({ role: `api_${who.split(' ')[0]}`, sub: who.split(' ')[1] });

export async function http(path, { who, method = 'GET', body, headers = {}, url = base } = {}) {
  const response = await validated(url + path, {
    method,
    headers: {
      ...(who ? { Authorization: `Bearer ${tokenOf(who)}` } : {}),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  let json;
  try { json = JSON.parse(text); } catch { /* not JSON */ }
  return { status: response.status, headers: response.headers, text, json, code: json?.code, data: json?.data };
}

export const call = (who, name, body = {}, headers = {}, more = {}) => http(`/rpc/${name}`, { who, method: 'POST', body, headers, ...more });

export const client = (who) => new PostgrestClient(base, { headers: who ? { Authorization: `Bearer ${tokenOf(who)}` } : {}, fetch: validated });

// User 1 is the administrator that test/http/setup.sql makes.
export const admin = 'admin 1';
let made = 0;
const unique = () => `${process.pid}-${Date.now()}-${made++}`;

async function made_by_admin(name, body, key) {
  const answer = await call(admin, name, body);
  assert.equal(answer.status, 201, answer.text);
  return answer.data[key];
}

export async function newBuyer(balance = 1000000) {
  const id = await made_by_admin('create_user', { name: 'Buyer', email: `buyer-${unique()}@example.com` }, 'user_id');
  if (balance) assert.equal((await call(`buyer ${id}`, 'charge_balance', { amount: balance })).status, 200);
  return { id, who: `buyer ${id}` };
}

export async function newSeller() {
  const id = await made_by_admin('create_user', { name: 'Seller', email: `seller-${unique()}@example.com`, role: 'SELLER' }, 'user_id');
  const sellerId = await made_by_admin('create_seller', { user_id: id, business_name: 'Mugs', registration_number: unique() }, 'seller_id');
  return { id, sellerId, who: `seller ${id}` };
}

export const newProduct = (more = {}) => made_by_admin('create_product', { name: 'mug', price: 10000, stock: 100, ...more }, 'product_id');
export const newCoupon = (more = {}) => made_by_admin('create_coupon', { name: 'coupon', kind: 'FIXED', value: 1000, quantity: 100, valid_days: 30, ...more }, 'coupon_id');

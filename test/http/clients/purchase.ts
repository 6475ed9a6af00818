// A purchase by a generated client, whose validators look at every request and answer. Its types are those that
// a front end uses: this compiles under `strict`, without a cast, or the document says too little.
import { cancelOrderItem, chargeBalance, claimCoupon, createOrderSheet, getBalance, getOrder, placeOrder, placeSheetOrder, readCoupons, readOrders, readProducts, usableCoupons } from './hey-api/index.js';
import { client } from './hey-api/client.gen.js';
import type { components } from './openapi-typescript.js';

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}
function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}
// what was answered, or the shop's error, which has a type as well
function done<T>(answer: { data?: T; error?: { code: string; message: string; details: string | null; hint: string | null } }): T {
  if (answer.data === undefined) throw new Error(`${answer.error?.code}: ${answer.error?.message} ${answer.error?.details}`);
  return answer.data;
}

client.setConfig({ baseUrl: environment('COMMERCE_URL'), auth: () => environment('COMMERCE_TOKEN') });
const product_id = Number(environment('COMMERCE_PRODUCT'));
const coupon_id = Number(environment('COMMERCE_COUPON'));

const [product] = done(await readProducts({ query: { id: `eq.${product_id}` } }));
check(product !== undefined, 'the product is in the catalogue');
const price: number = product.price_now;
check(price === 10000, 'the price');

const charged = done(await chargeBalance({ body: { amount: 100000 }, headers: { 'Idempotency-Key': 'charge' } }));
check('balance' in charged.data && charged.data.balance === 100000, 'the balance');
const [offered] = done(await readCoupons({ query: { id: `eq.${coupon_id}`, status: 'eq.ACTIVE' } }));
check(offered?.remaining === 100, 'the coupon');
const claimed = done(await claimCoupon({ body: { coupon_id } })).data;
check(done(await usableCoupons()).data[0]?.id === claimed.id, 'the coupon can be used');

const sheet = done(await createOrderSheet({ body: { items: [{ product_id, quantity: 2 }], coupon_issue_ids: [claimed.id] } })).data;
check(sheet.payment_amount === 19000, 'the sheet');
const placed = done(await placeSheetOrder({ body: { order_sheet_id: sheet.id }, headers: { 'Idempotency-Key': 'pay' } })).data;
check(placed.status === 'PAID', 'the order is paid');

const item = done(await getOrder({ query: { order_id: placed.id } })).data.items[0];
check(item !== undefined && item.history.map((event) => event.event).join() === 'PAID,PREPARING', 'its history');
const cancelled = done(await cancelOrderItem({ body: { order_item_id: item.id, quantity: 1, note: 'one too many' } })).data;
check('status' in cancelled && cancelled.status === 'PARTIALLY_CANCELLED', 'a part is cancelled');
check(done(await getBalance()).data.balance === 100000 - 19000 + 9500, 'and given back');

const refused = await placeOrder({ body: { items: [{ product_id, quantity: 999 }] } });
check(refused.response?.status === 409 && refused.error?.code === 'STOCK_NOT_ENOUGH', 'what is refused has its code');

// rows that are embedded have the types of their views
const [order] = done(await readOrders({ query: { select: '*,order_items(*,products(*))' } }));
const names = order?.order_items?.map((line) => line.products?.name);
check(names?.length === 2 && names[0] === product.name, 'lines and their products');
// two generators agree
const status: components['schemas']['orders']['status'] | undefined = order?.status;
check(status === 'PARTIALLY_CANCELLED', 'the status');
console.log('bought');

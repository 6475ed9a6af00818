// What every example here is run with: node FILE USER PRODUCT. It prints what
// came of each step, and test/clients/drivers.pl compares.
//
// placeOrder(userId, items, key) answers {id, payment_amount}, or throws an
// error with code and details; backend() answers pg_backend_pid().

export async function main({ placeOrder, backend, end }) {
  const [user, product] = process.argv.slice(2).map(BigInt);
  const items = (quantity) => [{ product_id: Number(product), quantity }];
  const key = `${user}-${process.pid}`;

  const first = await placeOrder(user, items(1), `${key}-1`);
  console.log(`order ${first.id} of ${first.payment_amount}`);
  const again = await placeOrder(user, items(1), `${key}-1`);
  console.log(`order ${again.id} again`);

  const before = await backend();
  try {
    await placeOrder(user, items(1000), `${key}-2`);
  } catch ({ code, details }) {
    console.log(`${code}: product ${details.product_id}, asked ${details.asked}, available ${details.available}`);
  }
  console.log(`connection ${(await backend()) === before ? 'kept' : 'closed'}`);

  const last = await placeOrder(user, items(2), `${key}-3`);
  console.log(`order ${last.id} of ${last.payment_amount}`);
  await end();
}

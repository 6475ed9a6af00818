import { setTimeout as sleep } from 'node:timers/promises';

// commerce says no: code is the SQLSTATE of docs/errors.md
export class Refusal extends Error {
  constructor(code, message, detail) {
    super(message);
    this.code = code;
    this.details = JSON.parse(detail);
  }
}

const passing = /^(40001|40P01|SH429|57P0[1-3]|08...|E[A-Z]+|CONNECTION_.*|Connection terminated.*)$/;

// Does the work again when it met others, or the connection was lost: with an
// idempotency key it is done once. Drizzle, TypeORM, Sequelize and Prisma have
// the driver's error inside their own.
export async function again(work, tries = 5) {
  try {
    return await work();
  } catch (error) {
    const inner = error.cause ?? error.driverError ?? error.parent ?? error.meta?.driverAdapterError?.cause ?? error;
    const code = inner.originalCode ?? inner.code ?? inner.message;
    if (inner.detail?.startsWith('{') && code !== 'SH429') throw new Refusal(code, inner.message, inner.detail);
    if (tries === 1 || !passing.test(code)) throw error;
  }
  await sleep(50);
  return again(work, tries - 1);
}

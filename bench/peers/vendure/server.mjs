// Vendure with its defaults on PostgreSQL, a payment that is always good, shipping for nothing.
//
//   node server.mjs PORT      serves the shop
//   node server.mjs fill      makes the tables, and 150 products

import { writeFileSync } from 'node:fs';
import { LanguageCode, DefaultLogger, LogLevel, bootstrap, dummyPaymentHandler } from '@vendure/core';
import { populate } from '@vendure/core/cli/index.js';

const [what] = process.argv.slice(2);
const config = {
  apiOptions: { port: Number(what) || 0, hostname: '127.0.0.1', adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
  authOptions: { tokenMethod: ['bearer'], superadminCredentials: { identifier: 'superadmin', password: 'superadmin' } },
  dbConnectionOptions: { type: 'postgres', host: process.env.PGHOST, port: Number(process.env.PGPORT), username: process.env.PGUSER, database: 'vendure', synchronize: what === 'fill' },
  paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
  logger: new DefaultLogger({ level: LogLevel.Warn }),
};
const data = {
  defaultLanguage: LanguageCode.en,
  defaultZone: 'Asia',
  countries: [{ code: 'KR', name: 'Korea', zone: 'Asia' }],
  taxRates: [{ name: 'Standard Tax', percentage: 10 }],
  shippingMethods: [{ name: 'Standard Shipping', price: 0 }],
  paymentMethods: [{ name: 'Always good', handler: { code: dummyPaymentHandler.code, arguments: [{ name: 'automaticSettle', value: 'true' }] } }],
  collections: [],
};

if (what === 'fill') {
  const rows = Array.from({ length: 150 }, (_, i) => `product ${i + 1},product-${i + 1},,,,,,sku-${i + 1},100,standard,1000000000,true,,`);
  writeFileSync('products.csv', ['name,slug,description,assets,facets,optionGroups,optionValues,sku,price,taxCategory,stockOnHand,trackInventory,variantAssets,variantFacets', ...rows].join('\n'));
  const app = await populate(() => bootstrap(config), data, 'products.csv');
  await app.close();
  process.exit();
}
await bootstrap(config);

// A region, shipping for nothing, 150 products; what the driver needs to know of them goes to shop.json.
//
//   medusa exec fill.js

const { writeFileSync } = require('node:fs');
const { ContainerRegistrationKeys, Modules } = require('@medusajs/framework/utils');
const flows = require('@medusajs/medusa/core-flows');

exports.default = async ({ container }) => {
  const run = async (name, input) => (await flows[name](container).run({ input })).result;
  const link = container.resolve(ContainerRegistrationKeys.LINK);
  const fulfillment = container.resolve(Modules.FULFILLMENT);

  const [channel] = await run('createSalesChannelsWorkflow', { salesChannelsData: [{ name: 'Shop' }] });
  const [region] = await run('createRegionsWorkflow', { regions: [{ name: 'Korea', currency_code: 'krw', countries: ['kr'], payment_providers: ['pp_system_default'] }] });
  await run('createTaxRegionsWorkflow', [{ country_code: 'kr', provider_id: 'tp_system' }]);
  const [location] = await run('createStockLocationsWorkflow', { locations: [{ name: 'Warehouse', address: { city: 'Seoul', country_code: 'KR', address_1: '' } }] });
  await link.create({ [Modules.STOCK_LOCATION]: { stock_location_id: location.id }, [Modules.FULFILLMENT]: { fulfillment_provider_id: 'manual_manual' } });
  const [profile] = await run('createShippingProfilesWorkflow', { data: [{ name: 'Default', type: 'default' }] });
  const set = await fulfillment.createFulfillmentSets({ name: 'Delivery', type: 'shipping',
    service_zones: [{ name: 'Korea', geo_zones: [{ country_code: 'kr', type: 'country' }] }] });
  await link.create({ [Modules.STOCK_LOCATION]: { stock_location_id: location.id }, [Modules.FULFILLMENT]: { fulfillment_set_id: set.id } });
  const [shipping] = await run('createShippingOptionsWorkflow', [{ name: 'Standard', price_type: 'flat', provider_id: 'manual_manual',
    service_zone_id: set.service_zones[0].id, shipping_profile_id: profile.id, type: { label: 'Standard', description: '', code: 'standard' },
    prices: [{ currency_code: 'krw', amount: 0 }, { region_id: region.id, amount: 0 }],
    rules: [{ attribute: 'enabled_in_store', value: 'true', operator: 'eq' }, { attribute: 'is_return', value: 'false', operator: 'eq' }] }]);
  await run('linkSalesChannelsToStockLocationWorkflow', { id: location.id, add: [channel.id] });
  const [key] = await run('createApiKeysWorkflow', { api_keys: [{ title: 'Shop', type: 'publishable', created_by: '' }] });
  await run('linkSalesChannelsToApiKeyWorkflow', { id: key.id, add: [channel.id] });

  const products = await run('createProductsWorkflow', { products: Array.from({ length: 150 }, (_, i) => ({
    title: `product ${i + 1}`, status: 'published', shipping_profile_id: profile.id, sales_channels: [{ id: channel.id }],
    options: [{ title: 'Size', values: ['one'] }],
    variants: [{ title: 'one', sku: `sku-${i + 1}`, options: { Size: 'one' }, prices: [{ currency_code: 'krw', amount: 100 }] }] })) });
  const inventory = container.resolve(Modules.INVENTORY);
  const items = await inventory.listInventoryItems({}, { take: 1000 });
  await run('createInventoryLevelsWorkflow', { inventory_levels: items.map((item) => ({ location_id: location.id, inventory_item_id: item.id, stocked_quantity: 1000000000 })) });
  const itemOf = new Map(items.map((item) => [item.sku, item.id]));
  writeFileSync('shop.json', JSON.stringify({ key: key.token, region: region.id, shipping: shipping.id,
    variants: products.map((product) => ({ id: product.variants[0].id, item: itemOf.get(product.variants[0].sku) })) }));
};

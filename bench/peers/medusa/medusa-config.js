// Medusa with its defaults on PostgreSQL, without its pages for administrators.
const { defineConfig } = require('@medusajs/framework/utils');

module.exports = defineConfig({
  admin: { disable: true },
  projectConfig: {
    databaseUrl: `postgres://${process.env.PGUSER}:${process.env.PGPASSWORD}@127.0.0.1:${process.env.PGPORT}/medusa`,
    databaseDriverOptions: { ssl: false },
    http: { storeCors: '*', adminCors: '*', authCors: '*', jwtSecret: process.env.JWT_SECRET, cookieSecret: process.env.JWT_SECRET },
  },
});

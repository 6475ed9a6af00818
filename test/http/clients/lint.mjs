// What Spectral's recommended rules have to say of an OpenAPI document: node lint.mjs FILE
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { Spectral, Document } = require('@stoplight/spectral-core');
const spectral = new Spectral();
spectral.setRuleset({ extends: [[require('@stoplight/spectral-rulesets').oas, 'recommended']] });
const found = await spectral.run(new Document(readFileSync(process.argv[2], 'utf8'), require('@stoplight/spectral-parsers').Json));
for (const { code, path, message } of found) console.log(`${code} ${path.join('/')}: ${message}`);

// Makes a client with each of four generators: node generate.mjs DOCUMENT FOLDER
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@hey-api/openapi-ts';
import openapiTypeScript, { astToString } from 'openapi-typescript';
import { generate } from 'orval';
import { generateApi } from 'swagger-typescript-api';

const [, , input, folder] = process.argv;
writeFileSync(join(folder, 'openapi-typescript.ts'), astToString(await openapiTypeScript(readFileSync(input, 'utf8'))));
await createClient({ input, output: { path: join(folder, 'hey-api'), importFileExtension: '.js' }, logs: { level: 'silent' },
  plugins: ['@hey-api/typescript', { name: '@hey-api/sdk', validator: true }, '@hey-api/client-fetch', { name: 'zod', dates: { offset: true } }] });
await generate({ input: { target: input }, output: { target: join(folder, 'orval.ts'), client: 'fetch', mode: 'single' } }, folder);
await generateApi({ fileName: 'swagger-typescript-api.ts', output: folder, input, httpClientType: 'fetch', silent: true, cleanOutput: false });

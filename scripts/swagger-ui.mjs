// Swagger UI of an OpenAPI document: node swagger-ui.mjs FOLDER_OF_SWAGGER_UI_DIST PORT URL

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, extname, join } from 'node:path';

const [folder, port, url] = process.argv.slice(2);
const types = { '.js': 'text/javascript', '.css': 'text/css', '.png': 'image/png' };
const page = `<!doctype html><html><head><meta charset="utf-8"><title>commerce</title><link rel="stylesheet" href="swagger-ui.css"></head>
<body><div id="ui"></div><script src="swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({ url: ${JSON.stringify(url)}, dom_id: '#ui', docExpansion: 'none', persistAuthorization: true,
  requestInterceptor: (r) => { if (r.loadSpec) r.headers.Accept = 'application/openapi+json'; else r.url = r.url.replace(location.origin, ${JSON.stringify(url.replace(/\/$/, ''))}); return r; } });</script></body></html>`;

createServer(async (request, response) => {
  try {
    const name = basename(new URL(request.url, 'http://localhost').pathname);
    if (!name) return response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page);
    if (!types[extname(name)]) throw new Error('not served');
    const content = await readFile(join(folder, name));
    response.writeHead(200, { 'Content-Type': types[extname(name)] }).end(content);
  } catch {
    response.writeHead(404).end();
  }
}).listen(Number(port), '127.0.0.1');

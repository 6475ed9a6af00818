// Debian's Chromium, driven by playwright-core. CHROMIUM names another.

import { accessSync, constants, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

function find() {
  for (const path of [process.env.CHROMIUM, ...process.env.PATH.split(delimiter).map((folder) => join(folder, 'chromium'))]) {
    try {
      if (path) { accessSync(path, constants.X_OK); return path; }
    } catch { /* not this one */ }
  }
}

const path = find();
// for test(): why it is skipped, or false
export const skip = path ? false : 'there is no Chromium (apt-get install chromium, or CHROMIUM=/path/to/chromium)';

export const launch = () => chromium.launch({ executablePath: path, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });

// Keeps a picture where COMMERCE_SCREENSHOTS says.
export async function picture(page, name) {
  const folder = process.env.COMMERCE_SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

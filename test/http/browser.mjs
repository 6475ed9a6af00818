// Debian's Chromium, driven by playwright-core. CHROMIUM names another.

import assert from 'node:assert/strict';
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

let browser;
export const close = () => browser?.close();

// A page of its own. What its scripts complain about is a failure, but for answers that are meant to fail; with complaints null,
// nothing is.
export async function visit(t, url, { language = 'en-GB', scheme = 'light', width = 1280, complaints = [] } = {}) {
  browser ??= await launch();
  const context = await browser.newContext({ locale: language, colorScheme: scheme, viewport: { width, height: 800 } });
  const page = await context.newPage();
  const said = [];
  page.on('pageerror', (error) => said.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) said.push(message.text()); });
  t.after(async () => { await context.close(); if (complaints) assert.deepEqual(said, complaints); });
  await page.goto(url);
  return page;
}

// Keeps a picture where COMMERCE_SCREENSHOTS says.
export async function picture(page, name) {
  const folder = process.env.COMMERCE_SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

// The lowest contrast of a text with its background, by the formula of WCAG, once colours have ended their change;
// for page.evaluate().
export function worstContrast() {
  for (const moving of document.getAnimations()) if (moving instanceof CSSTransition) moving.finish();
  const light = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => (!e || getComputedStyle(e).backgroundColor !== 'rgba(0, 0, 0, 0)' ? getComputedStyle(e ?? document.documentElement).backgroundColor : ground(e.parentElement));
  return [...document.querySelectorAll('main *, header *, footer')].filter((e) => e.childElementCount === 0 && e.textContent.trim() && e.getClientRects().length).map((e) => {
    const style = getComputedStyle(e);
    const [a, b] = [light(e instanceof SVGElement ? style.fill : style.color), light(ground(e))].sort((x, y) => y - x);
    return { ratio: Math.round(10 * (a + 0.05) / (b + 0.05)) / 10, text: e.textContent };
  }).sort((x, y) => x.ratio - y.ratio)[0];
}

import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

/** Whether browser tests can run; says so when they cannot. */
export const hasChromium = existsSync(CHROMIUM);
if (!hasChromium) console.warn(`browser test left out: no Chromium at ${CHROMIUM}; set CHROMIUM to its path`);

/** @param args besides those that keep it from the network */
export function launchChromium(...args: string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync', ...args],
  });
}

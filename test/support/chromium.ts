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

/** WebGPU on a software adapter. */
export const WITH_WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

/** Chromium refuses a page that its GPU process crashed for, and ends after some crashes; with these flags it does not. */
export const CRASHES = ['--disable-domain-blocking-for-3d-apis', '--disable-gpu-process-crash-limit'];

/** Ends the browser's GPU process. */
export async function crashGpuProcess(browser: Browser): Promise<void> {
  const session = await browser.newBrowserCDPSession();
  // The command has no answer where the process ends first, so nobody waits for it.
  session.send('Browser.crashGpuProcess').catch(() => {});
}

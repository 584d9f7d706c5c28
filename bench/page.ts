/**
 * The longest tasks of our JavaScript on the main thread of the page, from Chromium's trace with its CPU profile: while a model is
 * taken and compiled for, and afterwards, in Teach and in Inspect. The thread's own time leaves out what other processes of a
 * busy machine took meanwhile.
 *
 *   npm run bench:page -- [--steps 12] [--pictures 20] [--side 256] [--adapter swiftshader] [--json FILE]
 */
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { buildPage } from '../scripts/page.mjs';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { encodePng } from '../src/node/images.ts';
import { servePage } from '../src/node/page.ts';
import { metricsTable } from '../src/report/table.ts';
import { launchChromium } from '../test/support/chromium.ts';
import { CATEGORIES, scriptTasks, type Task, type TraceEvent } from './page/trace.ts';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '12' },
    pictures: { type: 'string', default: '20' },
    side: { type: 'string', default: '256' },
    adapter: { type: 'string', default: 'swiftshader' },
    json: { type: 'string' },
  },
});

/** Longest task that is aimed at, milliseconds. */
const AIMS = { 'warm-up': 200, afterwards: 50 } as const;
/** The first run of kernels may be compiled for minutes. */
const PATIENCE = 480_000;

/** Tasks of a phase whose functions are told. */
const SHOWN = 5;

interface Phase {
  readonly name: string;
  readonly phase: keyof typeof AIMS;
  readonly tasks: readonly Task[];
}

const folder = await mkdtemp(join(tmpdir(), 'raad-page-'));
const phases: Phase[] = [];
try {
  // Names of functions stay as they are in the sources.
  await buildPage(join(folder, 'page'), { minify: false });
  const pictures: string[] = [];
  for (let i = 0; i < Number(values.pictures); i++) {
    const path = join(folder, `${i}.png`);
    writeFileSync(path, await encodePng(renderSpecimen('biscuit', undefined, i, Number(values.side)).image));
    pictures.push(path);
  }
  const served = await servePage(join(folder, 'page'), 0);
  const browser = await launchChromium(
    '--enable-unsafe-webgpu',
    `--use-webgpu-adapter=${values.adapter}`,
    '--enable-features=Vulkan',
  );
  try {
    const model = await teach(browser, served.url, pictures);
    await inspect(browser, served.url, pictures, model);
    report(browser.version());
  } finally {
    await browser.close();
    await served.close();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Records what the page does meanwhile. */
async function traced(
  browser: Browser,
  page: Page,
  name: string,
  phase: keyof typeof AIMS,
  work: () => Promise<void>,
): Promise<void> {
  await browser.startTracing(page, { categories: CATEGORIES });
  await work();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  phases.push({ name, phase, tasks: scriptTasks(traceEvents) });
}

async function open(browser: Browser, url: string, tab: string): Promise<Page> {
  // Without a service worker, which fetches the whole page meanwhile.
  const context = await browser.newContext({ serviceWorkers: 'block' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.goto(`${url}#${tab}`);
  await page.waitForSelector(`#${tab}:not([inert])`);
  return page;
}

async function says(page: Page, tab: string, start: string): Promise<void> {
  await page.waitForFunction(
    ([id, text]) => document.querySelector(`#${id}-task p`)?.textContent?.startsWith(text!),
    [tab, start],
  );
}

async function teach(browser: Browser, url: string, pictures: readonly string[]): Promise<string> {
  const page = await open(browser, url, 'teach');
  await traced(browser, page, 'Teach', 'warm-up', async () => {
    await page.fill('#teach-steps', values.steps);
    await page.setInputFiles('#teach-pictures', pictures);
    await page.click('#teach-start');
    await says(page, 'teach', 'Learning');
  });
  await traced(browser, page, 'Teach', 'afterwards', async () => {
    await says(page, 'teach', 'Learned');
  });
  const path = join(folder, 'part.safetensors');
  const [saved] = await Promise.all([page.waitForEvent('download'), page.click('#teach-save')]);
  await saved.saveAs(path);
  await page.context().close();
  return path;
}

async function inspect(browser: Browser, url: string, pictures: readonly string[], model: string): Promise<void> {
  const page = await open(browser, url, 'inspect');
  await traced(browser, page, 'Inspect', 'warm-up', async () => {
    await page.setInputFiles('#inspect-model', model);
    await says(page, 'inspect', 'The model is ready');
    await page.setInputFiles('#inspect-pictures', pictures[0]!);
    await says(page, 'inspect', '1 picture.');
  });
  await traced(browser, page, 'Inspect', 'afterwards', async () => {
    await page.setInputFiles('#inspect-pictures', pictures.slice(1));
    await says(page, 'inspect', `${pictures.length - 1} pictures`);
    for (let i = 1; i <= 10; i++) {
      await page.locator('#inspect-threshold').evaluate((slider: HTMLInputElement, share) => {
        slider.value = String(share * Number(slider.max));
        slider.dispatchEvent(new Event('input'));
      }, i / 10);
    }
  });
  await page.context().close();
}

function report(version: string): void {
  const rows = phases.map(({ name, phase, tasks }) => ({
    panel: name,
    phase,
    'longest ms': tasks[0]?.milliseconds,
    'longest of the thread': Math.max(0, ...tasks.map(({ threadMilliseconds }) => threadMilliseconds)),
    'aim ms': AIMS[phase],
    'above it': tasks.filter(({ milliseconds }) => milliseconds > AIMS[phase]).length,
    'by the thread': tasks.filter(({ threadMilliseconds }) => threadMilliseconds > AIMS[phase]).length,
    tasks: tasks.length,
  }));
  const load = loadavg()[0]!.toFixed(1);
  console.log(
    `Chromium ${version}, ${values.adapter}, ${values.steps} steps, ${values.pictures} pictures of ${values.side} px; load ${load}`,
  );
  console.log(metricsTable(rows, { digits: 1 }));
  for (const { name, phase, tasks } of phases) {
    for (const { milliseconds, threadMilliseconds, hottest } of tasks.slice(0, SHOWN)) {
      const where = hottest.map((each) => `${each.name} ${each.milliseconds.toFixed(0)}`).join(', ');
      console.log(
        `${name}, ${phase}: ${milliseconds.toFixed(0)} ms (${threadMilliseconds.toFixed(0)} of the thread): ${where}`,
      );
    }
  }
  if (values.json) {
    const shown = phases.map(({ tasks, ...each }) => ({ ...each, longest: tasks.slice(0, 10) }));
    writeFileSync(values.json, `${JSON.stringify({ version, load, settings: values, phases: shown }, null, 2)}\n`);
  }
}

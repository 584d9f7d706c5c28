import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AxeResults, source as axeSource } from 'axe-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildPage } from '../scripts/page.mjs';
import type { RgbImage } from '../src/data/image.ts';
import { defectNames, renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { loadDetector, saveDetector } from '../src/detector/modelFile.ts';
import { encodePng } from '../src/node/images.ts';
import { type ServedPage, servePage } from '../src/node/page.ts';
import { CRASHES, crashGpuProcess, hasChromium, launchChromium, WITH_WEBGPU } from './support/chromium.ts';
import { engine } from './support/gpu.ts';
import { temporaryFolder } from './support/temporary.ts';
import { untrainedDetector } from './support/untrained.ts';

const SIDE = 160;
/** A name that is this machine, and no secure origin. */
const PLAIN_HOST = 'plain.test';
const PHONE = { width: 360, height: 640 };
/** Milliseconds that a software adapter may take to compile for whatever a panel does. */
const PATIENCE = 300_000;
const TABS = ['inspect', 'teach', 'doctor', 'bench'] as const;

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const pictures = ['crack', undefined, undefined, undefined].map((defect, i) => ({
  name: `${i}.png`,
  image: renderSpecimen('biscuit', defect, i, SIDE).image,
}));
const paths = pictures.map(({ name }) => file(name));
/** What Teach has made. */
const taught: { float?: Buffer; small?: Buffer } = {};
const messages: string[] = [];
const requested: string[] = [];
let served: ServedPage;
let browser: Browser;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  if (!hasChromium) return;
  await buildPage(file('page'));
  const detector = new Detector(await engine(), await untrainedDetector());
  writeFileSync(file('model.safetensors'), await saveDetector(detector));
  detector.destroy();
  for (const { name, image } of pictures) writeFileSync(file(name), await encodePng(image));
  served = await servePage(file('page'), 0);
  browser = await launchChromium(
    ...WITH_WEBGPU,
    ...CRASHES,
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
    `--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`,
  );
  context = await browser.newContext();
  context.on('request', (request) => requested.push(request.url()));
  context.on('console', (message) => {
    if (message.type() === 'error') messages.push(message.text());
  });
  context.on('weberror', (error) => messages.push(String(error.error())));
  page = await open();
});

afterAll(async () => {
  await browser?.close();
  await served?.close();
});

async function open(): Promise<Page> {
  const opened = await context.newPage();
  opened.setDefaultTimeout(PATIENCE);
  await opened.goto(served.url);
  return opened;
}

/** Chooses files once the panel's code is there. */
async function choose(input: string, files: Parameters<Page['setInputFiles']>[1]): Promise<void> {
  await page.waitForSelector(`${input.split('-')[0]}:not([inert])`);
  await page.setInputFiles(input, files);
}

async function openTab(tab: (typeof TABS)[number]): Promise<void> {
  await page.click(`#tab-${tab}`);
  await page.waitForSelector(`#${tab}:not([inert])`);
}

/** The end of what a panel does. */
async function ended(tab: string): Promise<string> {
  await page.waitForFunction((id) => {
    const task = document.querySelector(`#${id}-task`);
    return task?.querySelector('progress')?.hidden && task.querySelector('p')?.textContent;
  }, tab);
  return (await page.textContent(`#${tab}-task p`)) ?? '';
}

/** Waits for a sentence that begins so. */
async function says(tab: string, start: string): Promise<void> {
  await page.waitForFunction(
    ([id, text]) => document.querySelector(`#${id}-task p`)?.textContent?.startsWith(text!),
    [tab, start],
  );
}

/** Moves the slider of the threshold. */
async function slide(value: string): Promise<void> {
  await page.locator('#inspect-threshold').evaluate((slider: HTMLInputElement, to) => {
    slider.value = to === 'most' ? slider.max : to;
    slider.dispatchEvent(new Event('input'));
  }, value);
}

async function save(button: string): Promise<Buffer> {
  const [saved] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return readFileSync(await saved.path());
}

/** The values of a NumPy file of f32 [height, width]. */
function readNpy(bytes: Buffer): { readonly shape: readonly number[]; readonly values: Float32Array } {
  expect(bytes.subarray(0, 8)).toEqual(Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0]));
  const start = 10 + bytes.readUInt16LE(8);
  expect(start % 64).toBe(0);
  const shape = /'descr': '<f4', 'fortran_order': False, 'shape': \((\d+), (\d+)\)/.exec(bytes.toString('latin1'))!;
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.length));
  return { shape: shape.slice(1).map(Number), values };
}

/** Holds the map that is shown against the one of a model file in Node. */
async function expectMapOf(model: Uint8Array, image: RgbImage): Promise<void> {
  const detector = await loadDetector(await engine(), model);
  const expected = await detector.predict(image);
  detector.destroy();
  const { shape, values } = readNpy(await save('#inspect-save-map'));
  expect(shape).toEqual([image.height, image.width]);
  // Outside of a region both are NaN; pixels on its edge are rounded to either side.
  const edges = expected.map.filter((value, i) => Number.isNaN(value) !== Number.isNaN(values[i]));
  expect(edges.length).toBeLessThan(4);
  const seen = expected.map.filter((value) => !Number.isNaN(value));
  const range = Math.max(...seen) - Math.min(...seen);
  const worst = expected.map.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i]!) || 0), 0);
  console.log(`page against Node: largest difference ${(worst / range).toExponential(1)} of the map's range`);
  expect(worst / range).toBeLessThan(1e-3);
}

describe.runIf(hasChromium)('the page in Chromium', { timeout: PATIENCE }, () => {
  test('Inspect shows the map that Node computes', async () => {
    await choose('#inspect-pictures', paths.slice(0, 2));
    expect(await ended('inspect')).toMatch(/^2 pictures are waiting for a model/);
    await choose('#inspect-model', file('model.safetensors'));
    await page.waitForSelector('#inspect-viewer:not([hidden])');
    expect(await ended('inspect')).toMatch(/^2 pictures, [\d.]+ per second/);
    expect(await page.textContent('#inspect-about')).toMatch(/^model.safetensors: PDN-XS, 128 px;/);
    expect(await page.locator('#inspect-table tbody tr').count()).toBe(2);
    await expectMapOf(readFileSync(file('model.safetensors')), pictures[0]!.image);
    expect((await save('#inspect-save')).subarray(1, 4).toString()).toBe('PNG');
  });

  test('a region is chosen by its corners, and Node computes the same map', async () => {
    const corner = (name: string) => page.locator(`#inspect-corners [aria-label^="${name} corner"]`);
    const label = (name: string) => corner(name).getAttribute('aria-label');
    const isScored = () =>
      page.waitForFunction(() => document.querySelector<HTMLElement>('#inspect-task progress')?.hidden);
    await page.check('#inspect-region');
    expect(await label('Lower right')).toBe('Lower right corner at 144, 144: arrow keys move it');
    await corner('Upper left').focus();
    for (const key of ['ArrowDown', 'Shift+ArrowRight']) await page.keyboard.press(key);
    expect(await label('Upper left')).toMatch(/ at 26, 17:/);
    await corner('Lower right').evaluate((element) => element.scrollIntoView({ block: 'center' }));
    const box = (await corner('Lower right').boundingBox())!;
    const picture = (await page.locator('#inspect-picture').boundingBox())!;
    const scale = Math.min(picture.width, picture.height) / SIDE;
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    expect(Math.hypot(x - picture.x - 144 * scale, y - picture.y - 144 * scale)).toBeLessThan(1);
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x - 20 * scale, y + 8 * scale, { steps: 3 });
    await page.mouse.up();
    expect(await label('Lower right')).toMatch(/ at 124, 152:/);
    await corner('Lower left').focus();
    for (let i = 0; i < 14; i++) await page.keyboard.press('Shift+ArrowRight');
    // What is no convex shape any more is not taken.
    expect(await label('Lower left')).toMatch(/ at 116, 144:/);
    await isScored();
    await expectMapOf(await save('#inspect-save-model'), pictures[0]!.image);
    await page.uncheck('#inspect-region');
    expect(await page.isVisible('#inspect-corners')).toBe(false);
    await isScored();
    await expectMapOf(readFileSync(file('model.safetensors')), pictures[0]!.image);
  });

  test('a threshold decides the verdicts', async () => {
    const verdict = () => page.textContent('#inspect-verdict');
    await slide('0');
    expect(await verdict()).toBe('anomalous');
    await slide('most');
    expect(await verdict()).toBe('normal');
    expect(await page.locator('#inspect-table .verdict-anomalous').count()).toBe(0);
    await page.click('#inspect-reset');
    expect(await page.textContent('#inspect-threshold-value')).toBe('0.100');
  });

  test('a file that is no model is one sentence, and the model before it stays', async () => {
    const model = readFileSync(file('model.safetensors'));
    const endless = Buffer.from(model);
    endless.writeBigUInt64LE(2n ** 60n);
    for (const [name, bytes] of [
      ['notes.txt', Buffer.from('no model')],
      ['cut.safetensors', model.subarray(0, model.length / 2)],
      ['endless.safetensors', endless],
      ['empty.safetensors', Buffer.alloc(0)],
    ] as const) {
      await choose('#inspect-model', { name, mimeType: '', buffer: bytes });
      await page.waitForFunction(
        (text) => document.querySelector('#inspect-task .wrong')?.textContent?.includes(text),
        name,
      );
      const text = await ended('inspect');
      expect(text, name).not.toMatch(/\n|Error/);
      expect(text.length, name).toBeLessThan(250);
    }
    expect(await page.textContent('#inspect-about')).toMatch(/^model.safetensors/);
  });

  test('pictures can be dropped, and those that cannot be decoded are named', async () => {
    const [good, bad] = [readFileSync(paths[1]!).toString('base64'), Buffer.from('nothing').toString('base64')];
    const transfer = await page.evaluateHandle(
      (files) => {
        const made = new DataTransfer();
        for (const [name, base64] of files)
          made.items.add(
            new File([Uint8Array.from(atob(base64!), (c) => c.charCodeAt(0))], name!, { type: 'image/png' }),
          );
        return made;
      },
      [
        ['dropped.png', good],
        ['broken.png', bad],
      ],
    );
    await page.dispatchEvent('#inspect', 'drop', { dataTransfer: transfer });
    await page.waitForFunction(() => document.querySelector('#inspect-task p')?.textContent === '1 picture.');
    const rows = await page.locator('#inspect-table tbody tr').allTextContents();
    expect(rows).toEqual([
      'broken.png-broken.png cannot be decoded by this browser. Use PNG, JPEG or WebP.',
      expect.stringMatching(/^dropped.png/),
    ]);
    await page.click('#inspect-table button');
    await page.waitForFunction(() => document.querySelector('#inspect-name')?.textContent === 'dropped.png');
  });

  test('Teach says how long it takes, goes on after a reload, and Node reads its file', async () => {
    await openTab('teach');
    await page.fill('#teach-steps', '8');
    await page.fill('#teach-name', 'biscuits');
    await choose('#teach-pictures', paths.slice(1));
    await page.waitForFunction(() => document.querySelector('#teach-time')?.textContent !== '');
    expect(await page.textContent('#teach-time')).toMatch(/^8 steps take about \d+ (s|min) on this adapter\.$/);
    await page.fill('#teach-steps', '12');
    expect(await page.textContent('#teach-time')).toMatch(/^12 steps/);
    await page.click('#teach-start');
    await says('teach', 'Learning');
    await page.click('#teach-task button');
    expect(await ended('teach')).toBe('Paused.');
    await page.reload();
    await page.waitForFunction(() => document.querySelector('#teach-start')?.textContent === 'Go on');
    expect(await page.inputValue('#teach-steps')).toBe('12');
    await page.click('#teach-start');
    await says('teach', 'Learned');
    await page.waitForSelector('#teach-learned:not([hidden])');
    taught.float = await save('#teach-save');
  });

  test('what was learned is made smaller, over a reload and over the end of the GPU process alike', async () => {
    await page.click('#teach-smaller');
    await says('teach', 'Compiling: kernel');
    await page.click('#teach-task button');
    expect(await ended('teach')).toBe('Paused.');
    await page.reload();
    await page.waitForSelector('#teach-learned:not([hidden])');
    expect(await page.textContent('#teach-smaller')).toBe('Go on making it smaller');
    await page.click('#teach-smaller');
    await says('teach', 'Made smaller');
    expect(await page.textContent('#teach-smaller')).toBe('Make it smaller');
    taught.small = await save('#teach-save-smaller');
    expect(taught.small.length).toBeLessThan(taught.float!.length);
    await page.click('#teach-smaller');
    await page.waitForFunction(() => !document.querySelector('#teach-task p')?.textContent?.startsWith('Made smaller'));
    await crashGpuProcess(browser);
    await says('teach', 'Made smaller');
    expect(Buffer.compare(await save('#teach-save-smaller'), taught.small)).toBe(0);
  });

  test('what was learned is looked at on planted defects', async () => {
    // A line for each layer of teacher and student, and for each of the autoencoder.
    expect(await page.locator('#teach-bits tbody tr').count()).toBeGreaterThan(4);
    await page.click('#teach-preview');
    await says('teach', 'Compared');
    const [float, small] = await page.locator('#teach-comparison tbody tr').allTextContents();
    expect(float).toMatch(/^biscuits\.safetensors.*-[01] of 1[01] of 1$/);
    expect(small).toMatch(/^biscuits-small\.safetensors.*%[01] of 1[01] of 1$/);
    expect(await page.locator('#teach-comparison .row').count()).toBe(2);
    expect(await page.locator('#teach-comparison .row').first().locator('canvas').count()).toBe(3);
  });

  test('Inspect switches between models of a list, and compares them', async () => {
    await page.click('#teach-inspect');
    await choose('#inspect-pictures', paths[0]!);
    await says('inspect', '1 picture.');
    await expectMapOf(taught.float!, pictures[0]!.image);
    await page.selectOption('#inspect-choice', 'biscuits-small.safetensors');
    await page.waitForFunction(() => document.querySelector('#inspect-about')?.textContent?.includes(', quantized;'));
    await says('inspect', '1 picture.');
    await expectMapOf(taught.small!, pictures[0]!.image);
    await page.click('#inspect-fewer');
    expect(await ended('inspect')).toMatch(/ is quantized already\. /);
    await page.selectOption('#inspect-choice', 'biscuits.safetensors');
    await page.waitForFunction(() => !document.querySelector('#inspect-about')?.textContent?.includes('quantized'));
    await says('inspect', '1 picture.');
    await slide('most');
    await page.selectOption('#inspect-bits', '8');
    await page.click('#inspect-fewer');
    await says('inspect', 'Compared');
    const rows = await page.locator('#inspect-comparison tbody tr').allTextContents();
    expect(rows.map((row) => /^[\w-]+\.safetensors/.exec(row)?.[0])).toEqual([
      'biscuits.safetensors',
      'biscuits-small.safetensors',
      'biscuits-w8a8.safetensors',
    ]);
    expect(await page.locator('#inspect-comparison .row canvas').count()).toBe(4);
  });

  test('a camera is watched, and gives pictures to learn from', async () => {
    await openTab('inspect');
    await page.click('#inspect-camera');
    await page.waitForFunction(() =>
      /^Camera: [\d.]+ frames per second\.$/.test(document.querySelector('#inspect-task p')?.textContent ?? ''),
    );
    await page.click('#inspect-task button');
    expect(await ended('inspect')).toBe('The camera is off.');
    expect(await page.textContent('#inspect-name')).toBe('camera');
    await openTab('teach');
    await page.click('#teach-camera');
    await says('teach', '2 pictures taken');
    await page.click('#teach-task button');
    await page.waitForFunction(() =>
      /^[2-9] pictures\.$/.test(document.querySelector('#teach-about')?.textContent ?? ''),
    );
    await page.waitForFunction(() => document.querySelector('#teach-time')?.textContent !== '');
  });

  test('the demo learns generated parts, and inspects others, to its end', async () => {
    await openTab('inspect');
    // Fewer steps than a user's, which take minutes on a software adapter.
    await page.locator('#inspect-demo').evaluate((button, steps) => button.setAttribute('data-steps', steps), '6');
    await page.click('#inspect-demo');
    await says('inspect', 'Learning');
    await page.waitForFunction(() =>
      /^\d+ pictures, [\d.]+ per second/.test(document.querySelector('#inspect-task p')?.textContent ?? ''),
    );
    expect(await page.textContent('#inspect-about')).toMatch(/^generated biscuit: .* in 6 steps; threshold /);
    const rows = await page
      .locator('#inspect-table tbody tr')
      .evaluateAll((all) => all.map((row) => [...row.querySelectorAll('td')].map(({ textContent }) => textContent)));
    expect(rows).toHaveLength(3 + 2 * defectNames('biscuit').length);
    for (const [name, score, verdict] of rows) {
      expect(Number(score), name!).toBeGreaterThan(0);
      expect(verdict, name!).toMatch(/^(normal|anomalous)$/);
    }
  });

  test('Doctor and Bench give tables and JSON', async () => {
    await openTab('doctor');
    await page.fill('#doctor-ops', 'add');
    await page.click('#doctor-start');
    await page.waitForSelector('#doctor-result table');
    expect(await ended('doctor')).toMatch(/^Verdict: healthy; /);
    const report = JSON.parse((await save('#doctor-save')).toString());
    expect(report).toMatchObject({ verdict: 'healthy', failures: [] });
    await openTab('bench');
    await page.uncheck('#bench-peaks');
    await page.selectOption('#bench-side', '128');
    await page.fill('#bench-rounds', '0');
    await page.click('#bench-start');
    await page.waitForSelector('#bench-task .wrong');
    expect(await ended('bench')).toBe('The number of runs cannot be used. Give a whole number from 1 to 1000.');
    await page.fill('#bench-rounds', '1');
    await page.click('#bench-start');
    await page.waitForSelector('#bench-result table');
    const bench = JSON.parse((await save('#bench-save')).toString());
    expect(bench.settings).toEqual({ size: 'xs', side: 128, batch: 1, rounds: 1 });
    expect(bench.results).toHaveLength(4);
    for (const { median } of bench.results) expect(median).toBeGreaterThan(0);
  });

  test('axe-core finds nothing serious in any tab, light or dark', async () => {
    await page.evaluate(axeSource);
    const found: string[] = [];
    for (const viewport of [page.viewportSize()!, PHONE]) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        for (const tab of TABS) {
          await openTab(tab);
          const { violations, passes } = await page.evaluate<AxeResults>("axe.run({ resultTypes: ['violations'] })");
          expect(passes.length).toBeGreaterThan(10);
          for (const { id, impact, nodes } of violations) {
            const where = nodes.map(({ target }) => target.join(' ')).join(', ');
            if (impact === 'serious' || impact === 'critical')
              found.push(`${tab}, ${colorScheme}, ${viewport.width} px: ${id} at ${where}`);
          }
        }
      }
    }
    await page.emulateMedia({ colorScheme: null });
    expect(found).toEqual([]);
  });

  test('every tab fits a phone and is reached by the keyboard', async () => {
    await page.setViewportSize(PHONE);
    await page.focus('#tab-bench');
    for (const tab of TABS) {
      await page.keyboard.press('ArrowRight');
      expect(await page.evaluate(() => document.activeElement?.id)).toBe(`tab-${tab}`);
      expect(await page.isVisible(`#${tab}`)).toBe(true);
      expect(await page.evaluate(() => document.documentElement.scrollWidth), tab).toBeLessThanOrEqual(PHONE.width);
    }
  });

  test('says what to do without WebGPU and over plain HTTP', async () => {
    const without = await context.newPage();
    await without.addInitScript(() => Object.defineProperty(navigator, 'gpu', { value: undefined }));
    await without.goto(served.url);
    expect(await without.textContent('#missing')).toMatch(/^This browser has no WebGPU/);
    await without.close();
    const plain = await (await browser.newContext()).newPage();
    await plain.goto(served.url.replace('127.0.0.1', PLAIN_HOST));
    expect(await plain.textContent('#missing')).toMatch(
      /^Browsers offer WebGPU to secure pages alone: .* instead of http:\/\/plain\.test/,
    );
    expect(await plain.isVisible('#inspect')).toBe(false);
    await plain.context().close();
  });

  test('nothing goes beyond the origin, which the policy forbids, too', async () => {
    expect(requested.length).toBeGreaterThan(5);
    expect(requested.filter((url) => !url.startsWith(served.url) && !url.startsWith('blob:'))).toEqual([]);
    expect(messages).toEqual([]);
    const other = await servePage(file('page'), 0);
    const blocked = await page.evaluate(
      (url) =>
        fetch(url, { mode: 'no-cors' }).then(
          () => false,
          () => true,
        ),
      other.url,
    );
    await other.close();
    expect(blocked).toBe(true);
  });

  test('works when the server has stopped', async () => {
    await page.evaluate(() => navigator.serviceWorker.ready);
    await served.close();
    // A navigation of its own: one to a part of the same document would be under way when the page is loaded again.
    await page.goto('about:blank');
    await page.goto(`${served.url}#inspect`);
    await choose('#inspect-model', file('model.safetensors'));
    await choose('#inspect-pictures', paths[0]!);
    await page.waitForSelector('#inspect-viewer:not([hidden])');
    await ended('inspect');
    await expectMapOf(readFileSync(file('model.safetensors')), pictures[0]!.image);
  });
});

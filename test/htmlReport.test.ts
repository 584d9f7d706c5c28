import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { parseHTML } from 'linkedom';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeReport } from '../src/cli/commands/report.ts';
import { GOOD } from '../src/data/dataset.ts';
import { rocCurve } from '../src/metrics/ranking.ts';
import { openRun } from '../src/node/report.ts';
import { histogramChart, histogramScale } from '../src/report/charts.ts';
import { byteSize, dateInWords, duration, fixed, percent } from '../src/report/format.ts';
import { worstFirst } from '../src/report/gallery.ts';
import { REPORT_BYTES, reportHtml } from '../src/report/html.ts';
import { paretoChart, paretoFront } from '../src/report/pareto.ts';
import { commandLines, summarySentences } from '../src/report/words.ts';
import type { GalleryItem, RunRecord } from '../src/study/record.ts';
import { hasChromium, launchChromium } from './support/chromium.ts';
import { exampleRun } from './support/runRecord.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = temporaryFolder();
const { record, pictures } = await exampleRun(30, 96);
const html = reportHtml(record, pictures);
const { document } = parseHTML(html);
const texts = (selector: string) => [...document.querySelectorAll(selector)].map((each) => each.textContent ?? '');

/** Addresses that a page could fetch from. */
function addresses(text: string): string[] {
  return [...text.matchAll(/\b(?:https?:)?\/\/[\w.]+[^"'\s<)]*/g)]
    .map(([address]) => address)
    .filter((address) => address !== 'http://www.w3.org/2000/svg' && address.includes('.'));
}

const withoutPictures = (text: string) => text.replace(/data:image\/\w+;base64,[\w+/=]+/g, 'picture');

describe('the page', () => {
  test('has every section, linked from its head', () => {
    const titles = [
      'Summary',
      'Defect types',
      'Curves',
      'Scores',
      'Gallery',
      'Bit plan',
      'Time and memory',
      'Repeat it',
    ];
    expect(texts('h2')).toEqual(titles);
    expect(texts('nav a')).toEqual(titles);
    for (const link of document.querySelectorAll('nav a')) {
      expect(document.querySelector(link.getAttribute('href')!), link.textContent!).not.toBeNull();
    }
    expect(texts('h1')).toEqual(['bracket']);
    expect(texts('header .facts')[0]).toMatch(/PDN-S at 256 × 256.px, seed 3, 4 March 2026, 05:06.UTC/);
    expect(texts('h3')).toEqual(
      expect.arrayContaining(['ROC curve', 'PRO curve', 'float', 'recalibrated', 'Settings']),
    );
  });

  test('fetches nothing', () => {
    expect(addresses(withoutPictures(html))).toEqual([]);
    expect(html).not.toMatch(/<link(?! rel="icon" href="data:,")|@import|url\(|<script src/);
    expect(html).toContain("default-src 'none'");
  });

  test('describes charts and pictures in words', () => {
    const charts = [...document.querySelectorAll('.chart > svg')];
    expect(charts).toHaveLength(11);
    for (const chart of charts) expect(chart.getAttribute('aria-label')!.length).toBeGreaterThan(20);
    for (const image of document.querySelectorAll('img')) expect(image.getAttribute('alt')).toMatch(/^test\/.*: /);
    for (const input of document.querySelectorAll('input'))
      expect(input.getAttribute('aria-label')).toMatch(/^Picture of/);
  });

  test('shows the figures of the record', () => {
    const rows = [...document.querySelectorAll('#summary tbody tr')].map((row) =>
      [...row.children].map((field) => field.textContent!.replaceAll('\u00a0', ' ')),
    );
    const shown = record.steps.map(({ metrics }) => (100 * metrics.auroc!).toFixed(2));
    expect(rows[0]).toEqual(['Image AUROC, %', ...shown]);
    expect(rows).toContainEqual(['Share of the float weights', '1', '1/5.2', '1/5.2']);
    expect(rows).toContainEqual(['Memory on the device', '61.2 MB', '24.6 MB', '24.6 MB']);
    expect(texts('#defects tbody th')).toEqual([
      ...record.steps[0]!.metrics.defects.map(({ defect }) => defect),
      'all',
    ]);
    expect(texts('#bits tbody th')).toEqual(record.allocation.map(({ layer }) => layer));
    expect(texts('#repeat pre')[0]).toContain('raad run DATA -o DIR --seed 3 --size s --resolution 256');
    expect(JSON.parse(texts('#repeat pre')[1]!)).toEqual({ seed: 3, ...record.settings });
  });

  test('escapes every text of the data', async () => {
    const hostile = `</script><script>alert(1)</script><img src=x onerror="a"> & 'q' \u0000`;
    const spoiled = await exampleRun(10, 64);
    const replaced = JSON.parse(JSON.stringify(spoiled.record), (key, value) =>
      ['set', 'name', 'defect', 'adapter', 'finished', 'penalty', 'model', 'layer', 'size', 'map', 'node'].includes(key)
        ? `${value}${hostile}`
        : value,
    ) as RunRecord;
    const text = reportHtml(replaced, spoiled.pictures);
    const page = parseHTML(text).document;
    expect(page.querySelectorAll('script')).toHaveLength(1);
    expect([...page.querySelectorAll('img')].filter((image) => image.getAttribute('src') === 'x')).toEqual([]);
    expect(page.querySelectorAll('[onerror]')).toHaveLength(0);
    expect(text).not.toContain('\u0000');
    expect(page.querySelectorAll('.item')).toHaveLength(10);
    expect(page.querySelector('h1')!.textContent).toContain(`<img src=x onerror="a"> & 'q'`);
  });

  test('does with the least', () => {
    const [float] = record.steps;
    const { curve: _, threshold: __, ...step } = float!;
    const images = step.result.images.filter(([defect]) => defect === GOOD);
    const least: RunRecord = {
      ...record,
      allocation: [],
      gallery: [],
      steps: [
        {
          ...step,
          result: { ...step.result, metrics: {}, images },
          metrics: {
            ...step.metrics,
            badImages: 0,
            auroc: undefined,
            image: undefined,
            overlap: undefined,
            defects: [],
          },
        },
      ],
    };
    const page = parseHTML(reportHtml(least, new Map())).document;
    expect(page.querySelectorAll('section')).toHaveLength(8);
    expect(page.querySelector('#curves')!.textContent).toMatch(/good and defective test images.*with masks/);
    expect(page.querySelector('#gallery')!.textContent).toContain('The run left no pictures.');
    expect(page.body.textContent).not.toMatch(/NaN|undefined|Infinity/);
    expect(document.querySelector('main')!.textContent).not.toMatch(/NaN|undefined|Infinity/);
  });
});

describe('gallery', () => {
  const item = (name: string, defect: string, score: number): GalleryItem => ({
    name,
    defect,
    score,
    isAnomalous: score > 1,
    image: `${name}.webp`,
    heatmap: `${name}-heat.webp`,
  });

  test('has the worst mistakes first', () => {
    const items = [
      item('clearly good', GOOD, 0.1),
      item('nearly an alarm', GOOD, 0.95),
      item('small alarm', GOOD, 1.1),
      item('large alarm', GOOD, 1.8),
      item('just missed', 'dent', 0.9),
      item('far below', 'dent', 0.4),
      item('just found', 'dent', 1.2),
    ];
    const sorted = worstFirst(items, 1);
    expect(sorted.map(({ item, outcome }) => `${outcome}: ${item.name}`)).toEqual([
      'false alarm: large alarm',
      'missed: far below',
      'false alarm: small alarm',
      'missed: just missed',
      'passed: nearly an alarm',
      'found: just found',
      'passed: clearly good',
    ]);
    const { isAnomalous: _, ...unjudged } = items[0]!;
    const without = worstFirst([unjudged, { ...unjudged, score: 3 }], undefined);
    expect(without.map(({ item, outcome }) => [outcome, item.score])).toEqual([
      ['not judged', 3],
      ['not judged', 0.1],
    ]);
  });

  test('is shown in that order, with what its pictures are', () => {
    const order = worstFirst(record.gallery, record.steps.at(-1)!.threshold!.value);
    expect(texts('.item .name')).toEqual(order.map(({ item }) => item.name));
    const [first] = document.querySelectorAll('.item');
    expect(first!.querySelectorAll('.layer.shown')).toHaveLength(1);
    const bad = [...document.querySelectorAll('.item')].find((each) => each.querySelectorAll('.layer').length === 3)!;
    expect([...bad.querySelectorAll('.stops span')].map((stop) => stop.textContent)).toEqual([
      'image',
      'mask',
      'heat map',
    ]);
    expect(bad.querySelector('input')!.getAttribute('max')).toBe('2');
  });

  test('stays below 5 MB and says how much is shown', async () => {
    const large = await exampleRun(240, 192);
    const total = [...large.pictures.values()].reduce((sum, { length }) => sum + length, 0);
    expect(total).toBeGreaterThan(2 * REPORT_BYTES);
    const text = reportHtml(large.record, large.pictures);
    const bytes = Buffer.byteLength(text);
    expect(bytes).toBeLessThan(REPORT_BYTES);
    expect(bytes).toBeGreaterThan(0.9 * REPORT_BYTES);
    const page = parseHTML(text).document;
    const names = [...page.querySelectorAll('.item .name')].map((name) => name.textContent);
    expect(page.querySelector('#gallery .note')!.textContent).toMatch(
      new RegExp(`^${names.length} of 240.test images: the worst mistakes first`),
    );
    const mistakes = worstFirst(large.record.gallery, large.record.steps.at(-1)!.threshold!.value).filter(
      ({ outcome }) => outcome === 'missed' || outcome === 'false alarm',
    );
    expect(mistakes.length).toBeGreaterThan(3);
    expect(names.slice(0, mistakes.length)).toEqual(mistakes.map(({ item }) => item.name));
    // A picture that could never fit does not keep the others out.
    const huge = new Map([...large.pictures, [mistakes[0]!.item.image, new Uint8Array(6e6).fill(0xff)]]);
    expect(Buffer.byteLength(reportHtml(large.record, huge))).toBeLessThan(REPORT_BYTES);
  });
});

describe('words and numbers', () => {
  test('numbers', () => {
    expect([0, 812, 1500, 45_340, 1.25e6, 3e9].map((n) => byteSize(n).replace('\u00a0', ' '))).toEqual([
      '0 bytes',
      '812 bytes',
      '1.50 kB',
      '45.3 kB',
      '1.25 MB',
      '3.00 GB',
    ]);
    expect([duration(3.456), duration(3400)].map((text) => text.replace('\u00a0', ' '))).toEqual(['3.46 ms', '3.40 s']);
    expect([fixed(-0.04, 1), fixed(-1.25, 2), percent(0.982)]).toEqual(['0.0', '−1.25', '98.2\u00a0%']);
    expect(dateInWords('2026-03-04T23:59:30+02:00')).toBe('4 March 2026, 21:59\u00a0UTC');
    expect(dateInWords('yesterday')).toBe('yesterday');
  });

  /** The record with other image AUROCs of its steps. */
  const reaching = (...aurocs: number[]): RunRecord => ({
    ...record,
    steps: record.steps.map((step, i) => ({
      ...step,
      result: { ...step.result, metrics: { ...step.result.metrics, auroc: aurocs[i]! } },
    })),
  });

  test('sentences follow the figures', () => {
    const [size, time] = summarySentences(reaching(0.984, 0.978, 0.982));
    expect(size).toBe('The integer network takes 1/5.2 of the bytes and loses 0.2 points of image AUROC.');
    expect(time).toMatch(/^It takes 454.ms per image, 1.78 times as fast as the float network with 810.ms/);
    expect(summarySentences(reaching(0.984, 0.978, 0.982))[2]).toBe(
      'Quantizing alone cost 0.6 points of image AUROC, and recalibrating regained 0.4 points.',
    );
    expect(summarySentences(reaching(0.98, 0.98, 0.98))[0]).toMatch(/and keeps the image AUROC\.$/);
    expect(summarySentences(reaching(0.98, 0.97, 0.99))[0]).toMatch(/gains 1.0 points/);
    expect(summarySentences(record).at(-1)).toMatch(/^At the threshold 0.900, .* it misses \d of 18.defective images/);
  });

  test('commands hold the settings, quoted for a shell', () => {
    const settings = { ...record.settings, penalty: "it's here" };
    expect(commandLines({ ...record, settings })[0]!.join(' ')).toMatch(
      /--lr 0.001 --map attention --recalibrate-iterations 500 --penalty 'it'\\''s here'$/,
    );
  });
});

test('charts stay out of the browser bundle', async () => {
  const { metafile } = await build({
    entryPoints: ['src/browser.ts'],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    packages: 'external',
    loader: { '.wgsl': 'text' },
    write: false,
    metafile: true,
  });
  const imported = Object.values(metafile.inputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  expect(imported).toContain('d3-scale-chromatic');
  expect(imported.filter((path) => /observablehq|linkedom|report\/html/.test(path))).toEqual([]);
});

test('ROC curve runs through the corners', () => {
  expect(rocCurve([4, 3, 3, 2, 1], [1, 1, 0, 1, 0])).toEqual({
    fpr: [0, 0, 0.5, 0.5, 1],
    tpr: [0, 1 / 3, 2 / 3, 1, 1],
  });
  expect(rocCurve([3, 2, 1, 0], [1, 1, 0, 0])).toEqual({ fpr: [0, 0, 1], tpr: [0, 1, 1] });
  expect(rocCurve([1, 2], [1, 1])).toBeUndefined();
});

describe('Pareto chart', () => {
  const points = [
    { label: 'float', x: 4e6, y: 0.98, low: 0.97, high: 0.99 },
    { label: 'hqs <a & "b">', x: 8e5, y: 0.97 },
    { label: 'uniform', x: 8e5, y: 0.96, low: 0.95, high: 0.97 },
    { label: 'small', x: 5e5, y: 0.93 },
    { label: 'broken', x: Number.NaN, y: 0.5 },
  ];

  test('finds the front', () => {
    expect(paretoFront(points.slice(0, 4)).map(({ label }) => label)).toEqual(['small', 'hqs <a & "b">', 'float']);
  });

  test('is a drawing of its own', () => {
    const svg = paretoChart(points, { x: 'weightBytes', y: 'auroc', yLabel: 'image AUROC' });
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" role="img" aria-label="/);
    expect(addresses(svg)).toEqual([]);
    expect(svg).toContain('hqs &lt;a &amp; &quot;b&quot;&gt; 800\u00a0kB, 97.0 % (on the front)');
    expect(svg).not.toMatch(/<a |NaN|broken|var\(--(?!plot)/);
    expect(paretoChart([], { x: 'relativeTime', y: 'overlap' })).toContain('AU-PRO');
  });
});

describe('reading a run', () => {
  const file = (content: unknown) => JSON.stringify(content);
  const write = (name: string, files: Record<string, string | Uint8Array>) => writeTree(join(folder, name), files);
  const noticesOf = async (path: string) => {
    const notices: string[] = [];
    const run = await openRun(path, (message) => notices.push(message));
    return { ...run, notices };
  };

  test('refuses what is no run', async () => {
    const refused = (path: string) => openRun(path, () => {});
    await expect(refused(join(folder, 'nothing'))).rejects.toThrow(/nothing does not exist/);
    const wrong = write('wrong', {
      'empty/a.txt': '',
      'text/run.json': 'hello',
      'null/run.json': 'null',
      'other/run.json': file({ format: 'raad-bit-plan', version: 1 }),
      'newer/run.json': file({ ...record, version: 2 }),
      'torn/run.json': file({ ...record, steps: [] }),
      'typed/run.json': file({ ...record, seed: '<b>' }),
      'deep/run.json': file({ ...record, steps: [{ ...record.steps[0], result: {} }] }),
    });
    await expect(refused(join(wrong, 'empty', 'a.txt'))).rejects.toThrow(/is a file, not a folder/);
    await expect(refused(join(wrong, 'empty'))).rejects.toThrow(/holds no run.json/);
    await expect(refused(join(wrong, 'text'))).rejects.toThrow(/is not JSON/);
    await expect(refused(join(wrong, 'null'))).rejects.toThrow(/does not describe a run/);
    await expect(refused(join(wrong, 'other'))).rejects.toThrow(/does not describe a run/);
    await expect(refused(join(wrong, 'newer'))).rejects.toThrow(/has version 2, and this program reads 1/);
    await expect(refused(join(wrong, 'torn'))).rejects.toThrow(/no usable value at steps\./);
    await expect(refused(join(wrong, 'typed'))).rejects.toThrow(/no usable value at seed\./);
    await expect(refused(join(wrong, 'deep'))).rejects.toThrow(/no usable value at steps.0.result.set\./);
  });

  test('leaves out pictures that are missing, damaged or elsewhere', async () => {
    const [first, second, third, fourth] = record.gallery;
    const gallery = [
      { ...first!, image: '../secret.png' },
      { ...second!, heatmap: 'gone.png' },
      { ...third!, image: 'text.png' },
      fourth!,
    ];
    writeTree(folder, { 'secret.png': pictures.get(first!.image)! });
    const path = write('gaps', {
      'run.json': file({ ...record, gallery }),
      'text.png': 'hello',
      ...Object.fromEntries(pictures),
    });
    const run = await noticesOf(path);
    expect(run.notices.sort()).toEqual([
      'left out: the picture ../secret.png lies outside of the folder.',
      'left out: the picture gone.png does not exist.',
      'left out: the picture text.png is no PNG, JPEG or WebP file.',
    ]);
    const page = parseHTML(reportHtml(run.record, run.pictures)).document;
    expect([...page.querySelectorAll('.item .name')].map((name) => name.textContent)).toEqual([fourth!.name]);
    expect(page.querySelector('#gallery .note')!.textContent).toMatch(/^1 of 4.test images/);
  });

  test('what was written is what the record says', async () => {
    const path = write('run', { 'run.json': file(record), ...Object.fromEntries(pictures) });
    await writeReport(path, join(path, 'report.html'));
    expect(readFileSync(join(path, 'report.html'), 'utf8')).toBe(html);
  });
});

describe.runIf(hasChromium)('in Chromium', () => {
  const file = join(folder, 'page.html');
  let browser: Awaited<ReturnType<typeof launchChromium>>;

  beforeAll(async () => {
    writeTree(folder, { 'page.html': html });
    browser = await launchChromium();
  });
  afterAll(() => browser.close());

  async function open(width: number, colorScheme: 'light' | 'dark') {
    const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme, reducedMotion: 'reduce' });
    const messages: string[] = [];
    const requests: string[] = [];
    page.on('console', (message) => messages.push(message.text()));
    page.on('pageerror', (error) => messages.push(String(error)));
    page.on('request', (request) => requests.push(request.url()));
    await page.goto(pathToFileURL(file).href);
    return { page, messages, requests };
  }

  test.each([
    [1280, 'light'],
    [1280, 'dark'],
    [360, 'light'],
    [360, 'dark'],
  ] as const)('fits %i pixels in %s, silently', async (width, scheme) => {
    const { page, messages, requests } = await open(width, scheme);
    const [wide, inner] = (await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')) as number[];
    expect(wide).toBeLessThanOrEqual(inner!);
    const colors = (await page.evaluate(
      '(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.body))',
    )) as string[];
    const [ink, ground] = colors.map((color) => Number(/\d+/.exec(color)));
    expect(ink! < ground!).toBe(scheme === 'light');
    expect(messages).toEqual([]);
    expect(requests.filter((address) => !address.startsWith('data:'))).toEqual([pathToFileURL(file).href]);
    await page.close();
  });

  test('the slider switches pictures by keyboard, and filters choose', async () => {
    const { page, messages } = await open(1280, 'light');
    const item = page.locator('.item', { has: page.locator('[data-kind=mask]') }).first();
    const visible = () => item.locator('.layer:visible').getAttribute('data-kind');
    const slider = item.getByRole('slider');
    expect(await visible()).toBe('heat map');
    await slider.focus();
    const seen: (string | null)[] = [];
    for (const key of ['ArrowLeft', 'ArrowLeft', 'ArrowLeft', 'ArrowRight', 'End']) {
      await page.keyboard.press(key);
      seen.push(await visible(), await slider.getAttribute('aria-valuetext'));
    }
    expect(seen).toEqual(['mask', 'image', 'image', 'mask', 'heat map'].flatMap((kind) => [kind, kind]));
    const box = (await slider.boundingBox())!;
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
    await expect.poll(visible).toBe('mask');

    await page.getByLabel('Defect type', { exact: true }).selectOption('good');
    expect(await page.locator('.item:visible .defect').allTextContents()).toEqual(
      record.gallery.filter(({ defect }) => defect === GOOD).map(() => GOOD),
    );
    expect(await page.locator('#picked').textContent()).toBe('12 of 30 images');
    await page.getByLabel('Defect type', { exact: true }).selectOption('all');
    await page.getByLabel('Picture', { exact: true }).selectOption('image');
    // The gallery begins with a few: what follows it should not be far.
    await expect.poll(() => page.locator('.layer[data-kind=image]:visible').count()).toBe(12);
    await page.getByRole('button', { name: 'Show 18 more' }).click();
    await expect.poll(() => page.locator('.layer[data-kind=image]:visible').count()).toBe(30);
    expect(await page.getByRole('button').count()).toBe(0);
    expect(messages).toEqual([]);
    await page.close();
  });
});

test('histograms are logarithmic where few scores are far above the others, around zero too', () => {
  const even = histogramScale([1, 2, 3, 4, 5]);
  expect(even.type).toBe('linear');
  const skewed = histogramScale([0.04, 0.05, 0.05, 0.06, 1.2]);
  expect(skewed.type).toBe('log');
  const signed = histogramScale([-0.02, -0.01, 0.01, 0.02, 0.03, 1.5]);
  expect(signed.type).toBe('symlog');
  for (const { edges } of [even, skewed, signed]) {
    expect(edges.every((edge, i) => i === 0 || edge > edges[i - 1]!)).toBe(true);
  }
  expect(signed.edges[0]).toBeCloseTo(-0.02, 10);
  expect(signed.edges.at(-1)).toBeCloseTo(1.5, 10);
  const chart = histogramChart({ label: 'x', good: [-0.02, 0.01], defective: [1.5], scale: signed, threshold: 0.1 });
  expect(chart).toMatch(/threshold 0.1/);
});

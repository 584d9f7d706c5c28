import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RgbImage } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector, type Prediction } from '../src/detector/detector.ts';
import { heatmapRange } from '../src/detector/heatmapRange.ts';
import { saveDetector } from '../src/detector/modelFile.ts';
import { INFERNO } from '../src/math/inferno.ts';
import { encodePng } from '../src/node/images.ts';
import { bundled, type Files, WITH_FRAMES, withPage } from './support/bundledPage.ts';
import { hasChromium } from './support/chromium.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const WORKER = new URL('../examples/browser/worker.js', import.meta.url);
const SIDE = 160;
const SHIFT = 40;

const { image } = renderSpecimen('biscuit', 'crack', 3, SIDE);
/** The picture as the scene has it when the belt has moved. */
const moved: RgbImage = {
  ...image,
  data: image.data.map((_, i) => {
    const [x, row] = [Math.floor(i / 3) % SIDE, Math.floor(i / (3 * SIDE))];
    return image.data[3 * (row * SIDE + ((x + SHIFT) % SIDE)) + (i % 3)]!;
  }),
};
let files: Files;
let expected: Prediction;
let expectedMoved: Prediction;
let range: ReturnType<typeof heatmapRange>;

beforeAll(async () => {
  if (!hasChromium) return;
  const detector = new Detector(await engine(), await untrainedDetector());
  range = heatmapRange(detector.state);
  expected = await detector.predict(image);
  expectedMoved = await detector.predict(moved);
  files = {
    '/model.safetensors': ['application/octet-stream', await saveDetector(detector)],
    '/image.png': ['image/png', await encodePng(image)],
    '/worker.js': ['text/javascript', await bundled(readFileSync(WORKER, 'utf8'))],
  };
  detector.destroy();
});

const SCRIPT = `
  import { Engine, imageFrom, loadDetector, openBrowserDevice } from './src/browser.ts';
  import { scoresOf } from './examples/browser/frames.js';
  import { openInspector } from './examples/browser/inspector.js';
  import { openScene } from './examples/browser/scene.js';

  const bitmap = async () =>
    createImageBitmap(await (await fetch('/image.png')).blob(), { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  const canvas = () => document.body.appendChild(Object.assign(document.createElement('canvas'), { width: ${SIDE}, height: ${SIDE} }));
  const nextFrame = () => new Promise(requestAnimationFrame);

  window.scene = async () => {
    const place = canvas();
    const { detector, frame } = await openScene(place, '/model.safetensors', await bitmap());
    const uncaptured = [];
    detector.engine.device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
    for (let shift = 0; shift < ${SHIFT}; shift += 20) {
      frame(shift);
      await nextFrame();
    }
    frame(${SHIFT});
    const { data } = await imageFrom(place);
    await detector.engine.device.queue.onSubmittedWorkDone();
    return { shown: [...data], uncaptured };
  };

  window.worker = async () => {
    const place = canvas();
    const inspect = await openInspector(place, await (await fetch('/model.safetensors')).arrayBuffer());
    const scores = [await inspect(await bitmap()), await inspect(await bitmap())];
    await nextFrame();
    await nextFrame();
    const refused = await inspect(await createImageBitmap(await bitmap(), 0, 0, 10, 10)).catch(({ message }) => message);
    return { scores, shown: [...(await imageFrom(place)).data], refused };
  };

  window.frames = async (count) => {
    const device = await openBrowserDevice();
    const uncaptured = [];
    device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
    const detector = await loadDetector(new Engine({ device }), '/model.safetensors');
    const { data } = await imageFrom(await bitmap());
    const rgba = (shift) => {
      const bytes = new Uint8Array(${4 * SIDE * SIDE}).fill(255);
      for (let y = 0; y < ${SIDE}; y++)
        for (let x = 0; x < ${SIDE}; x++) {
          const from = 3 * (y * ${SIDE} + ((x + shift) % ${SIDE}));
          bytes.set(data.subarray(from, from + 3), 4 * (y * ${SIDE} + x));
        }
      return bytes;
    };
    const made = [];
    async function* frames() {
      for (let i = 0; i < count; i++) {
        const layout = { format: 'RGBX', codedWidth: ${SIDE}, codedHeight: ${SIDE}, timestamp: 1000 * i };
        made.push(new VideoFrame(rgba(i % 2 ? ${SHIFT} : 0), layout));
        yield made.at(-1);
      }
    }
    const results = [];
    for await (const result of scoresOf(detector, frames())) results.push(result);
    for await (const result of scoresOf(detector, frames())) break;
    await device.queue.onSubmittedWorkDone();
    return { results, uncaptured, closed: made.every(({ format }) => format === null) };
  };
  window.ready = true;`;

const run = <T>(call: string): Promise<T> =>
  withPage(SCRIPT, files, (page) => page.evaluate(`window.${call}`), WITH_FRAMES) as Promise<T>;

/** Share of pixels that are not the picture under its heat map; the line of the threshold is among them. */
function shareOff(shown: readonly number[], { data }: RgbImage, { map }: Prediction, opacity: number): number {
  const { low, high } = range;
  let off = 0;
  for (const [i, value] of map.entries()) {
    const heat = Math.min(Math.max((value - low) / (high - low), 0), 1);
    const colored = [0, 1, 2].some((c) => {
      const below = data[3 * i + c]!;
      const color = below + (INFERNO[3 * Math.round(255 * heat) + c]! - below) * (0.12 + 0.7 * heat) * opacity;
      return Math.abs(color - shown[3 * i + c]!) > 6;
    });
    if (colored) off++;
  }
  return off / map.length;
}

describe.runIf(hasChromium)('the examples in Chromium', { timeout: 300_000 }, () => {
  test('an app’s own scene under its heat map', async () => {
    const { shown, uncaptured } = await run<{ shown: number[]; uncaptured: string[] }>('scene()');
    const [right, wrong] = [moved, image].map((picture) =>
      shareOff(shown, picture, picture === moved ? expectedMoved : expected, 0.8),
    );
    expect(right).toBeLessThan(0.15);
    expect(wrong).toBeGreaterThan(2 * right!);
    expect(uncaptured).toEqual([]);
  });

  test('a worker with an OffscreenCanvas', async () => {
    const { scores, shown, refused } = await run<{ scores: number[]; shown: number[]; refused: string }>('worker()');
    for (const score of scores) expect(score / expected.score).toBeCloseTo(1, 3);
    expect(shareOff(shown, image, expected, 1)).toBeLessThan(0.15);
    expect(refused).toMatch(/\S/);
  });

  test('the frames of a video in a loop', async () => {
    const { results, uncaptured, closed } = await run<{
      results: { timestamp: number; score: number }[];
      uncaptured: string[];
      closed: boolean;
    }>('frames(8)');
    expect(results.map(({ timestamp }) => timestamp)).toEqual(Array.from({ length: 8 }, (_, i) => 1000 * i));
    for (const [i, { score }] of results.entries())
      expect(score / (i % 2 ? expectedMoved : expected).score).toBeCloseTo(1, 3);
    expect(uncaptured).toEqual([]);
    expect(closed).toBe(true);
  });
});

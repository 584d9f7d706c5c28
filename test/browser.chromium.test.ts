import { expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { saveDetector } from '../src/detector/modelFile.ts';
import { encodePng } from '../src/node/images.ts';
import { type Files, withPage } from './support/bundledPage.ts';
import { hasChromium } from './support/chromium.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const LOAD = `
  import { DeviceLostError, Engine, imageFrom, loadDetector, openBrowserDevice } from './src/browser.ts';
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  const image = async () => imageFrom(await (await fetch('/image.png')).blob());`;

async function filesOf(): Promise<{ files: Files; detector: Detector; image: Parameters<Detector['predict']>[0] }> {
  const { image } = renderSpecimen('biscuit', 'crack', 3, 160);
  const detector = new Detector(await engine(), await untrainedDetector());
  const files: Files = {
    '/model.safetensors': ['application/octet-stream', await saveDetector(detector)],
    '/image.png': ['image/png', await encodePng(image)],
  };
  return { files, detector, image };
}

test.runIf(hasChromium)('the bundled library predicts in Chromium as in Node', { timeout: 300_000 }, async () => {
  const { files, detector, image } = await filesOf();
  const expected = await detector.predict(image);
  detector.destroy();
  const script = `${LOAD}
    window.predict = async () => {
      const engine = new Engine({ device: await openBrowserDevice() });
      const detector = await loadDetector(engine, await bytes('/model.safetensors'));
      const { map, score, width, height } = await detector.predict(await image());
      return { map: [...map], score, width, height, adapter: engine.caps.description || engine.caps.architecture };
    };
    window.ready = true;`;
  const result = (await withPage(script, files, (page) => page.evaluate('window.predict()'))) as typeof expected & {
    adapter: string;
  };
  expect([result.width, result.height]).toEqual([160, 160]);
  const largest = Math.max(...expected.map.map(Math.abs));
  let worst = 0;
  expected.map.forEach((value, i) => {
    worst = Math.max(worst, Math.abs(value - result.map[i]!));
  });
  console.log(`Chromium on ${result.adapter}: largest difference ${worst.toExponential(1)} of ${largest.toFixed(3)}`);
  expect(worst / largest).toBeLessThan(1e-3);
  expect(result.score).toBeCloseTo(expected.score, 3);
});

const LOSSES = process.env['RAAD_TEST'] === 'full' ? 20 : 7;
/** Milliseconds from the start of a run to the loss of its device. */
const DELAYS = Array.from({ length: LOSSES }, (_, i) => (800 / LOSSES) * i);

test.runIf(hasChromium)(
  'a device that is lost in mid-run is a typed error in Chromium',
  { timeout: 300_000 },
  async () => {
    const { files, detector } = await filesOf();
    detector.destroy();
    const script = `${LOAD}
    window.lose = async (delay) => {
      const device = await openBrowserDevice();
      const uncaptured = [];
      device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
      const engine = new Engine({ device });
      const detector = await loadDetector(engine, await bytes('/model.safetensors'));
      const picture = await image();
      const running = [detector.warmUp(2), detector.predict(picture), detector.predict(picture)];
      const all = Promise.allSettled(running);
      await new Promise((resolve) => setTimeout(resolve, delay));
      device.destroy();
      const ends = (await all).map(({ status, reason }) => status === 'fulfilled' ? status
        : reason instanceof DeviceLostError ? reason.reason : String(reason));
      const after = await detector.predict(picture).catch((error) => error instanceof DeviceLostError);
      return { ends, after, uncaptured };
    };
    window.ready = true;`;
    const ends = await withPage(script, files, async (page) => {
      const results = [];
      for (const delay of DELAYS) results.push(await page.evaluate(`window.lose(${delay})`));
      return results as { ends: string[]; after: boolean; uncaptured: string[] }[];
    });
    const all = ends.flatMap((each) => each.ends);
    expect(all.filter((end) => end !== 'fulfilled' && end !== 'destroyed')).toEqual([]);
    expect(all.filter((end) => end === 'destroyed').length).toBeGreaterThan(DELAYS.length / 2);
    for (const { after, uncaptured } of ends) expect([after, uncaptured]).toEqual([true, []]);
  },
);

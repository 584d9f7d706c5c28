import { beforeAll, describe, expect, test } from 'vitest';
import { saveDetector } from '../src/detector/modelFile.ts';
import { type Files, withPage } from './support/bundledPage.ts';
import { CRASHES, crashGpuProcess, hasChromium } from './support/chromium.ts';
import { savedFile } from './support/savedFiles.ts';
import { untrainedDetector } from './support/untrained.ts';

const isFull = process.env['RAAD_TEST'] === 'full';
const LOSSES = isFull ? 10 : 1;
/** More than are taken until the last loss: each of them lets one checkpoint, and at most a few steps, pass. */
const STEPS = isFull ? 32 : 12;
const CHECKPOINT_STEPS = 2;
const WAYS = ['destroy', 'crash'] as const;

const SCRIPT = `
  import { DeviceLostError, Engine, fit, loadDetector, openBrowserDevice, PRESETS, saveDetector } from './src/browser.ts';
  import { renderSpecimen } from './src/data/synthetic/generate.ts';
  import { readSafetensors } from './src/formats/safetensors.ts';
  import { randomUniform } from './src/kernels/random.ts';
  import { generatedPenalty } from './src/train/penalty.ts';

  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  const image = (seed) => renderSpecimen('biscuit', undefined, seed, 128).image;
  const images = (first, count) => ({ count, image: async (i) => image(first + i) });
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const digest = async (values) => new Uint8Array(await crypto.subtle.digest('SHA-256', values)).toHex();
  /** The GPU process takes a moment to start again. */
  async function open() {
    for (let tries = 0; ; tries++) {
      try {
        return new Engine({ device: await openBrowserDevice() });
      } catch (error) {
        if (tries === 50) throw error;
        await sleep(100);
      }
    }
  }
  const lose = (engine, way) => (way === 'destroy' ? engine.device.destroy() : window.crash());
  const nameOf = (error) => (error instanceof DeviceLostError ? 'DeviceLostError' : String(error));

  window.train = async (count, way) => {
    let engine = await open();
    let timer;
    let last;
    let reached = '';
    const lost = [];
    const loseWithin = (milliseconds) => {
      if (lost.length >= count || timer) return;
      timer = setTimeout(() => lose(engine, way), milliseconds * randomUniform(lost.length, 1, 2, 3));
    };
    const detector = await fit({
      engine,
      settings: { ...PRESETS.quick, iterations: ${STEPS}, batch: 1, seed: 4 },
      dataset: 'biscuits',
      train: images(0, 5),
      heldOut: images(5, 2),
      penalty: generatedPenalty(4),
      teacher: { ...readSafetensors(await bytes('/teacher.safetensors'), 'the teacher'), name: 'thin' },
      checkpoint: {
        every: ${CHECKPOINT_STEPS},
        // Every second loss is among the steps: within about as many as lie between two checkpoints.
        async save() {
          if (lost.length % 2 === 0) loseWithin(performance.now() - last);
          last = performance.now();
        },
      },
      onProgress({ phase, done }) {
        reached = phase + ' ' + done;
        // The others are while kernels compile or pictures are looked at.
        if (phase !== 'train') last = performance.now();
        if (phase !== 'train' && phase !== 'calibrate' && lost.length % 2 === 1 && done > 0) loseWithin(1000);
      },
      async recover(error) {
        lost.push(nameOf(error));
        console.log(way + ', loss ' + lost.length + ' in training: after ' + reached);
        timer = undefined;
        engine = await open();
        return { engine };
      },
    });
    clearTimeout(timer);
    const model = await digest(await saveDetector(detector));
    engine.device.destroy();
    return { lost, model };
  };

  window.predict = async (count, way) => {
    let engine = await open();
    let detector = await loadDetector(engine, '/model.safetensors');
    const images = [7, 8, 9].map((seed) => image(seed));
    const map = async () => digest((await detector.predict(images[0])).map);
    // Every second loss is among predictions alone, the others while kernels compile for a larger batch, too.
    const start = (i) => [
      ...images.map((each) => detector.predict(each)),
      ...(i % 2 === 1 ? [detector.warmUp(2)] : []),
    ];
    const maps = [await map()];
    const durations = [];
    for (const i of [0, 1]) {
      const from = performance.now();
      await Promise.all(start(i));
      durations.push(performance.now() - from);
    }
    const ends = [];
    for (let i = 0; i < count; i++) {
      const running = Promise.allSettled(start(i));
      await sleep(durations[i % 2] * randomUniform(i, 4, 5, 6));
      await lose(engine, way);
      const settled = await running;
      const finished = settled.filter(({ status }) => status === 'fulfilled').length;
      console.log(way + ', loss ' + (i + 1) + ' in inference: ' + finished + ' of ' + settled.length + ' were finished');
      // A machine that has become faster than it was.
      if (finished === settled.length) durations[i % 2] /= 2;
      for (const { status, reason } of settled) ends.push(status === 'fulfilled' ? status : nameOf(reason));
      ends.push(nameOf(await engine.lost), await detector.predict(images[0]).then(() => 'predicted', nameOf));
      engine = await open();
      detector = detector.moveTo(engine);
      maps.push(await map());
    }
    engine.device.destroy();
    return { ends, maps };
  };
  window.ready = true;`;

let files: Files;
beforeAll(async () => {
  files = {
    '/model.safetensors': ['application/octet-stream', await saveDetector({ state: await untrainedDetector() })],
    '/teacher.safetensors': ['application/octet-stream', savedFile('teacher.safetensors.gz')],
  };
});

/** @param call of the page, which may call `crash()` to end the browser's GPU process */
const run = <T>(call: string): Promise<T> =>
  withPage(
    SCRIPT,
    files,
    async (page) => {
      page.on('console', (message) => message.type() === 'log' && console.log(message.text()));
      await page.exposeFunction('crash', () => crashGpuProcess(page.context().browser()!));
      return page.evaluate(`window.${call}`) as Promise<T>;
    },
    CRASHES,
  );

interface Trained {
  readonly lost: readonly string[];
  readonly model: string;
}
interface Predicted {
  readonly ends: readonly string[];
  readonly maps: readonly string[];
}
let undisturbed: Trained | undefined;

describe.runIf(hasChromium)('lost devices in Chromium', { timeout: 900_000 }, () => {
  test.each(WAYS)('training goes on, and ends with the model of an undisturbed one: %s', async (way) => {
    undisturbed ??= await run<Trained>(`train(0, 'none')`);
    const { lost, model } = await run<Trained>(`train(${LOSSES}, '${way}')`);
    expect(lost).toEqual(Array(LOSSES).fill('DeviceLostError'));
    expect(model).toBe(undisturbed.model);
  });

  test.each(WAYS)(
    'predictions end with a typed error, and a detector that moved gives the same map: %s',
    async (way) => {
      const { ends, maps } = await run<Predicted>(`predict(${LOSSES}, '${way}')`);
      const failures = ends.filter((end) => end !== 'fulfilled');
      expect(new Set(failures)).toEqual(new Set(['DeviceLostError']));
      expect(failures.length).toBeGreaterThanOrEqual(2 * LOSSES);
      expect(maps).toEqual(Array(LOSSES + 1).fill(maps[0]));
    },
  );
});

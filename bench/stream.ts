/**
 * `stream` against `predict` in a loop over image files, decoding included, interleaved; with the time that the machine's cores
 * stand idle meanwhile, which is what there is to gain.
 *
 *   node scripts/run.mjs bench/stream.ts IMAGE...  [--size xs|s|m --resolution PX]   xs, 128
 *                                        [--rounds 5] [--in-flight N] [--batch N] [--toggles A,-B]
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { untrainedDetector } from '../src/bench/untrained.ts';
import type { StreamOptions } from '../src/detector/stream.ts';
import { Engine } from '../src/engine/engine.ts';
import { UserError } from '../src/errors.ts';
import { exactQuantile } from '../src/math/statistics.ts';
import { Networks } from '../src/networks/networks.ts';
import { parsePdnSize } from '../src/networks/pdn.ts';
import { openDevice } from '../src/node/device.ts';
import { expandImages } from '../src/node/files.ts';
import { readImage } from '../src/node/images.ts';
import { parseToggles } from '../src/node/toggles.ts';
import { metricsTable } from '../src/report/table.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', default: 'xs' },
    resolution: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '5' },
    'in-flight': { type: 'string' },
    batch: { type: 'string' },
    toggles: { type: 'string' },
  },
});
const paths = await expandImages(positionals, (message) => console.error(message));
if (paths.length === 0) throw new UserError('there are no images.', 'Name some files.');
const opened = await openDevice({ toggles: parseToggles(values.toggles) });
const engine = new Engine({ device: opened.device });
await engine.ready;
const detector = untrainedDetector(engine, new Networks(parsePdnSize(values.size), Number(values.resolution)));
const given = (text: string | undefined) => (text ? Number(text) : undefined);
const options: StreamOptions = { inFlight: given(values['in-flight']), batch: given(values.batch) };

async function loop(): Promise<number> {
  let sum = 0;
  for (const path of paths) sum += (await detector.predict(await readImage(path))).score;
  return sum;
}

async function stream(): Promise<number> {
  let sum = 0;
  const frames = paths.map((path) => () => readImage(path));
  for await (const { score } of detector.stream(frames, options)) sum += score;
  return sum;
}

/** Idle and whole time of all cores since the machine started, milliseconds. */
function cores() {
  const times = cpus().map((core) => core.times);
  const sum = (of: (each: (typeof times)[number]) => number) => times.reduce((total, each) => total + of(each), 0);
  const idle = sum((each) => each.idle);
  return { idle, all: idle + sum(({ user, nice, sys, irq }) => user + nice + sys + irq) };
}

async function timed(work: () => Promise<number>) {
  const before = cores();
  const start = performance.now();
  const sum = await work();
  const milliseconds = (performance.now() - start) / paths.length;
  const after = cores();
  return { sum, milliseconds, idle: (after.idle - before.idle) / (after.all - before.all) };
}

const median = (of: readonly number[]) => exactQuantile(Float32Array.from(of), 0.5);
await loop();
await stream();
const rounds: Record<'loop' | 'stream', Awaited<ReturnType<typeof timed>>>[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const [first, second] = round % 2 === 0 ? [loop, stream] : [stream, loop];
  const results = new Map([[first, await timed(first)]]);
  results.set(second, await timed(second));
  rounds.push({ loop: results.get(loop)!, stream: results.get(stream)! });
}
for (const { loop: one, stream: other } of rounds)
  if (one.sum !== other.sum) throw new Error(`the scores differ: ${one.sum} and ${other.sum}`);
const row = (name: string, of: (typeof rounds)[number]['loop'][]) => ({
  way: name,
  'ms an image': Number(median(of.map(({ milliseconds }) => milliseconds)).toFixed(2)),
  'cores idle': `${(100 * median(of.map(({ idle }) => idle))).toFixed(0)} %`,
});
console.log(`${engine.caps.description}; ${paths.length} images, ${rounds.length} rounds`);
console.log(
  metricsTable([
    row(
      'predict in a loop',
      rounds.map((round) => round.loop),
    ),
    row(
      'stream',
      rounds.map((round) => round.stream),
    ),
  ]),
);
const ratios = rounds.map((round) => round.loop.milliseconds / round.stream.milliseconds);
console.log(
  `loop / stream: median ${median(ratios).toFixed(2)}, ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}`,
);
detector.destroy();
engine.destroy();
opened.close();

/**
 * What a mirrored border finds along the border of images, with the map filter for it and without, and whether it raises false alarms
 * there: good test images of a set as the networks see them, with and without a patch of themselves pasted into the outer 16 px, and
 * likewise inside.
 *
 *   npm run bench:border -- SET... --json FILE [--methods nearest,student] [--borders nearest,reflect,filtered]
 *                        [--resolution 128] [--iterations 600] [--plantings 4]
 *
 * SET is the folder of a data set. `npm run docs:verdicts` makes tables of docs/verdicts.md of the files in
 * bench/results/verdicts.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { RgbImage } from '../src/data/image.ts';
import type { Detector } from '../src/detector/detector.ts';
import { Engine } from '../src/engine/engine.ts';
import { UserError } from '../src/errors.ts';
import { Resizer, unpackPixels } from '../src/imaging/pixels.ts';
import { exactQuantile } from '../src/math/statistics.ts';
import { auroc } from '../src/metrics/ranking.ts';
import { openDevice } from '../src/node/device.ts';
import { readJson, writeJson } from '../src/node/jsonFile.ts';
import { metricsTable } from '../src/report/table.ts';
import { PRESETS } from '../src/train/fit.ts';
import { choices } from './choice.ts';
import { METHOD_NAMES } from './methods.ts';
import { fitted, goodImages, images } from './sets.ts';
import { BAND, BORDER, BORDERS, type BorderReport, type BorderRow, byBand, plantedInStrip } from './verdicts/border.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    methods: { type: 'string', default: METHOD_NAMES.join(',') },
    resolution: { type: 'string', default: '128' },
    iterations: { type: 'string', default: String(PRESETS.quick.iterations) },
    borders: { type: 'string', default: BORDERS.join(',') },
    plantings: { type: 'string', default: '4' },
    json: { type: 'string' },
  },
});
const { json } = values;
if (!json || positionals.length === 0) throw new UserError('give folders of data sets and --json FILE.');
const methods = choices('methods', values.methods, METHOD_NAMES);
const borders = choices('borders', values.borders, BORDERS);
const opened = await openDevice();
const engine = new Engine({ device: opened.device });
const resolution = Number(values.resolution);
let report: BorderReport = existsSync(json)
  ? await readJson<BorderReport>(json, BORDER)
  : { adapter: engine.caps.description, resolution, rows: [] };
if (report.resolution !== resolution) throw new UserError(`${json} has another resolution.`, 'Name another file.');

/** Level of the highest pixels inside. */
const LEVEL = 0.995;
/** A strip inside, whose cells see no border. */
const INSIDE = 3 * BAND;

async function measure(detector: Detector, seen: readonly RgbImage[]): Promise<Omit<BorderRow, keyof Key>> {
  const { threshold } = detector.state;
  const plantings = Number(values.plantings);
  const scoresOfPlanted = async (from: number) => {
    const scores: number[] = [];
    for (const [i, image] of seen.entries())
      for (let k = 0; k < plantings; k++)
        scores.push((await detector.predict(plantedInStrip(image, from, i * plantings + k))).score);
    return scores;
  };
  const scores: number[] = [];
  const bands: Float32Array[] = [];
  const insides: Float32Array[] = [];
  let highest = 0;
  for (const image of seen) {
    const { map, score } = await detector.predict(image);
    const { band, inside } = byBand(map, resolution);
    bands.push(band);
    insides.push(inside);
    scores.push(score);
    if (!inside.includes(score)) highest++;
  }
  const joined = (parts: readonly Float32Array[]) => {
    const all = new Float32Array(parts.length * parts[0]!.length);
    for (const [i, part] of parts.entries()) all.set(part, i * part.length);
    return all;
  };
  const [band, inside] = [joined(bands), joined(insides)];
  const level = exactQuantile(inside, LEVEL);
  const shareOf = (values: Float32Array) =>
    values.reduce((sum, value) => sum + Number(value > level), 0) / values.length;
  const shareAbove = (all: readonly number[]) => all.filter((score) => score > threshold!.value).length / all.length;
  const rank = (planted: readonly number[]) =>
    auroc([...scores, ...planted], [...scores.map(() => 0), ...planted.map(() => 1)])!;
  const [inBand, inSide] = [await scoresOfPlanted(0), await scoresOfPlanted(INSIDE)];
  return {
    images: seen.length,
    good: shareAbove(scores),
    band: shareAbove(inBand),
    inside: shareAbove(inSide),
    bandAuroc: rank(inBand),
    insideAuroc: rank(inSide),
    bandPixels: shareOf(band),
    insidePixels: shareOf(inside),
    highest: highest / seen.length,
    area: band.length / (band.length + inside.length),
  };
}

type Key = Pick<BorderRow, 'set' | 'method' | 'border'>;

const isKnown = (key: Key) =>
  report.rows.some((row) => row.set === key.set && row.method === key.method && row.border === key.border);

for (const folder of positionals) {
  const set = await goodImages(folder);
  const resizer = new Resizer(engine, resolution);
  const source = await images(set.test);
  const seen: RgbImage[] = [];
  for (let i = 0; i < source.count; i++)
    seen.push(unpackPixels(await resizer.resize(await source.image(i)), resolution, resolution));
  resizer.destroy();
  for (const method of methods)
    for (const border of borders) {
      const key = { set: set.name, method, border };
      if (isKnown(key)) continue;
      const detector = await fitted(method, set.learn, {
        ...{ engine, resolution, seed: 0, iterations: Number(values.iterations) },
        ...(border !== 'nearest' && { padding: 'reflect' }),
        ...(border === 'filtered' && { maps: 'border' }),
      });
      report = { ...report, rows: [...report.rows, { ...key, ...(await measure(detector, seen)) }] };
      detector.destroy();
      await writeJson(json, report, BORDER, 1);
      console.log(JSON.stringify(report.rows.at(-1)));
    }
}
console.log(metricsTable(report.rows.map((row) => ({ ...row }))));
opened.close();

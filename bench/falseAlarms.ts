/**
 * Which rate of false alarms a threshold's promise becomes: all good images of a set are pooled and divided at random into as many to
 * learn from and to test as the set has; a detector is fitted, its threshold set, and the good test images above it are
 * counted. Splits that the file holds already are not computed again.
 *
 *   npm run bench:false-alarms -- SET... --json FILE [--method nearest|student] [--splits 20]
 *                               [--alphas 0.01,0.05,0.1] [--resolution 128]
 *
 * SET is the folder of a data set. `npm run docs:verdicts` makes tables of docs/verdicts.md of the files in
 * bench/results/verdicts.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { conformalThreshold } from '../src/detector/conformal.ts';
import { Engine } from '../src/engine/engine.ts';
import { UserError } from '../src/errors.ts';
import { Random } from '../src/math/random.ts';
import { openDevice } from '../src/node/device.ts';
import { readJson, writeJson } from '../src/node/jsonFile.ts';
import { metricsTable } from '../src/report/table.ts';
import { choice } from './choice.ts';
import { METHOD_NAMES, type Method } from './methods.ts';
import { fitted, type GoodImages, goodImages, images } from './sets.ts';
import { FALSE_ALARMS, type FalseAlarms, keyOf, type Rate, rates } from './verdicts/falseAlarms.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    method: { type: 'string', default: 'nearest' },
    splits: { type: 'string', default: '20' },
    alphas: { type: 'string', default: '0.01,0.05,0.1' },
    resolution: { type: 'string', default: '128' },
    json: { type: 'string' },
  },
});
const { json } = values;
if (!json || positionals.length === 0) throw new UserError('give folders of data sets and --json FILE.');
const method = choice('method', values.method, METHOD_NAMES);
const opened = await openDevice();
const engine = new Engine({ device: opened.device });
const settings = { resolution: Number(values.resolution), alphas: values.alphas.split(',').map(Number) };
let report: FalseAlarms = existsSync(json)
  ? await readJson<FalseAlarms>(json, FALSE_ALARMS)
  : { adapter: engine.caps.description, ...settings, splits: [] };
if (JSON.stringify([report.resolution, report.alphas]) !== JSON.stringify(Object.values(settings)))
  throw new UserError(`${json} was made with other settings.`, 'Name another file.');

/** The images of a set divided otherwise, into as many to learn from and to test. */
function divided({ name, learn, test }: GoodImages, seed: number): GoodImages {
  const all = [...learn.train, ...learn.validation, ...test];
  const shuffled = Array.from(new Random(seed).permutation(all.length), (i) => all[i]!);
  const count = all.length - test.length;
  return { name, learn: { name, train: shuffled.slice(0, count), validation: [] }, test: shuffled.slice(count) };
}

async function judge(method: Method, { learn, test }: GoodImages, seed: number): Promise<Rate[]> {
  const detector = await fitted(method, learn, { engine, resolution: settings.resolution, seed });
  const good = await images(test);
  const scores: number[] = [];
  for (let i = 0; i < good.count; i++) scores.push((await detector.predict(await good.image(i))).score);
  const { calibration } = detector.state;
  detector.destroy();
  return settings.alphas.map((alpha) => {
    const { value, promised } = conformalThreshold(calibration!.scores, alpha);
    return { alpha, promised, seen: scores.filter((score) => score > value).length / scores.length };
  });
}

for (const folder of positionals) {
  const set = await goodImages(folder);
  const seeds = Array.from({ length: Number(values.splits) }, (_, seed) => seed);
  for (const seed of ['given' as const, ...seeds]) {
    const split = String(seed);
    const key = { set: set.name, method, split };
    if (report.splits.some((each) => keyOf(each) === keyOf(key))) continue;
    const found = await (seed === 'given' ? judge(method, set, 0) : judge(method, divided(set, seed), seed));
    const row = { ...key, test: set.test.length, rates: found };
    report = { ...report, splits: [...report.splits, row] };
    await writeJson(json, report, FALSE_ALARMS, 1);
    console.log(
      `${set.name}, ${method}, split ${split}: ${found.map(({ alpha, seen }) => `${seen} for ${alpha}`).join(', ')}`,
    );
  }
}
console.log(metricsTable(rates(report).map((row) => ({ ...row }))));
opened.close();

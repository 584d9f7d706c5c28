/**
 * What a teacher's features are worth: memory banks of the shipped teacher, a random one and others on data sets, and how others were
 * distilled. What is in the file is not measured again.
 *
 *   npm run bench:teachers -- --json FILE [--sets NAME=DIR@SIDE,...] [--size xs] [--teachers shipped,random,FILE,...]
 *                             [--log FILE.jsonl --run TEACHER --options=TEXT]
 *
 * `--log` is what `raad distill --log` wrote of the teacher `--run`. `npm run docs:teachers` makes docs/distill.md of
 * bench/results/quality/teachers.json.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { splitHeldOut } from '../src/data/dataset.ts';
import { Engine } from '../src/engine/engine.ts';
import { UserError } from '../src/errors.ts';
import { evaluate } from '../src/evaluation/evaluate.ts';
import { readSafetensors, writeSafetensors } from '../src/formats/safetensors.ts';
import { initialize } from '../src/networks/initialize.ts';
import { PDN_CHANNELS, PDN_SIZES, Pdn, type PdnSize } from '../src/networks/pdn.ts';
import { testSource } from '../src/node/datasets.ts';
import { openDevice } from '../src/node/device.ts';
import { readJson, writeJson } from '../src/node/jsonFile.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { metricsTable } from '../src/report/table.ts';
import { fitNearest } from '../src/train/nearest.ts';
import { teacherTensors } from '../src/train/teacher.ts';
import { choice } from './choice.ts';
import { images, oneDataset } from './sets.ts';
import { readLog } from './teachers/logs.ts';
import { keyOf, TEACHERS, type TeacherReport, type TeacherRow } from './teachers/report.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    sets: { type: 'string', default: '' },
    size: { type: 'string', default: 'xs' },
    teachers: { type: 'string', default: 'shipped,random' },
    log: { type: 'string' },
    run: { type: 'string' },
    options: { type: 'string', default: '' },
  },
});
const { json } = values;
if (!json) throw new UserError('there is no file for the results.', 'Give --json FILE.');
const size = choice('size', values.size, PDN_SIZES);
const places = values.sets.split(',').flatMap((entry) => {
  if (entry === '') return [];
  const [, set, folder, side] = /^([^=]+)=(.+)@(\d+)$/.exec(entry) ?? [];
  if (!set || !folder || !side) throw new UserError(`--sets ${entry} cannot be read.`, 'Write NAME=DIR@SIDE.');
  return [{ set, folder, side: Number(side) }];
});
const opened = await openDevice();
const engine = new Engine({ device: opened.device });
let report: TeacherReport = existsSync(json)
  ? await readJson<TeacherReport>(json, TEACHERS)
  : { adapter: engine.caps.description, rows: [], runs: [] };

/** Weights that nothing has been taught. */
function randomTeacher(of: PdnSize) {
  const pdn = new Pdn(of, 'teacher', PDN_CHANNELS[of]);
  initialize(pdn.convolutions, 0);
  return { ...readSafetensors(writeSafetensors(teacherTensors(pdn), {}), 'random'), name: 'random' };
}

async function bankOf(folder: string, side: number, teacher: string) {
  const { root, dataset } = await oneDataset(folder);
  const load = (paths: readonly string[]) => images(paths.map((path) => join(root, path)));
  const split = splitHeldOut(dataset, 0);
  const started = performance.now();
  const detector = await fitNearest({
    engine,
    settings: { size: size, resolution: side, seed: 0 },
    dataset: dataset.name,
    train: await load(split.train),
    heldOut: await load(split.heldOut),
    teacher:
      teacher === 'random' ? randomTeacher(size) : await readTeacher(size, teacher === 'shipped' ? undefined : teacher),
  });
  const fitSeconds = (performance.now() - started) / 1000;
  const { metrics } = await evaluate({ detector, source: testSource(root, dataset) });
  detector.destroy();
  const area = metrics.overlap?.areas[0];
  return { auroc: metrics.auroc!, ...(area !== undefined && { overlap: area }), fitSeconds };
}

if (values.log) {
  const { run: teacher, options } = values;
  if (!teacher) throw new UserError('--log needs --run TEACHER.');
  const run = { teacher, size, options, ...readLog(values.log) };
  report = { ...report, runs: [...report.runs.filter((each) => each.teacher !== teacher || each.size !== size), run] };
  await writeJson(json, report, TEACHERS, 1);
}
for (const { set, folder, side } of places)
  for (const given of values.teachers.split(',')) {
    const teacher = given.replace(/^.*\//, '').replace(/\.safetensors$/, '');
    const key = { set, side, size, teacher };
    if (report.rows.some((row) => keyOf(row) === keyOf(key))) continue;
    const row: TeacherRow = { ...key, ...(await bankOf(folder, side, given)) };
    report = { ...report, rows: [...report.rows, row] };
    await writeJson(json, report, TEACHERS, 1);
    console.log(JSON.stringify(row));
  }
console.log(metricsTable(report.rows.map((row) => ({ ...row }))));
opened.close();

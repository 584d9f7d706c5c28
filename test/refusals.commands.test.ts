import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { saveDetector } from '../src/detector/modelFile.ts';
import { openDatasets, trainingDigest } from '../src/node/datasets.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { CLI } from './support/commandLine.ts';
import { fakeResult } from './support/fakeCells.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';
import { untrainedDetector } from './support/untrained.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);

const images = { part: 'bracket', seed: 2, size: 64, train: 3, testGood: 1, testPerDefect: 1 } as const;
await writeInspectionSet(at('data'), images);
const state = await untrainedDetector();
writeFileSync(at('m.safetensors'), await saveDetector({ state }));
/** A model that tells which images it was trained on. */
async function trainedOn(file: string, dataDigest: string): Promise<void> {
  mkdirSync(dirname(at(file)), { recursive: true });
  writeFileSync(at(file), await saveDetector({ state: { ...state, provenance: { ...state.provenance, dataDigest } } }));
}
const digest = (await trainingDigest({ root: at('data'), dataset: (await openDatasets(at('data'))).datasets[0]! }))!;
await trainedOn('own/data.safetensors', digest);
await trainedOn('others/data.safetensors', 'a'.repeat(64));
writeFileSync(at('plan.json'), JSON.stringify(uniformPlan(state.networks, { weights: 8, activations: 8 })));
const photo = readFileSync(at('data/train/good/000.png'));
writeTree(folder, { 'photos/0.png': photo, file: '', 'measured.json': '{}', 'raw.checkpoint': 'no checkpoint' });
if (process.platform !== 'win32') {
  linkSync(at('m.safetensors'), at('hard.safetensors'));
  symlinkSync('m.safetensors', at('soft.safetensors'));
}
const settings = {
  fit: { size: 'xs', resolution: 128, iterations: 600, batch: 4, learningRate: 0.001, weightDecay: 0.00001 },
  recalibration: {},
  scoring: {},
  penalty: 'generated',
};
const ofRun = (set: string) => JSON.stringify({ ...settings, seed: 0, set, data: { [set]: 'digest' } });
const cell = fakeResult({ set: 'data', seed: 0, arm: 'float', recalibrated: false });
const lines = [cell, { ...cell, metrics: { auroc: 1 } }].map((each) => JSON.stringify(each)).join('\n');
const lock = JSON.stringify({ pid: 1, host: 'elsewhere', since: '2026-01-02T03:04:05.000Z' });
const row = '../../X,train,normal,X';
writeTree(folder, {
  'ofOther/settings.json': ofRun('other'),
  'ofChanged/settings.json': ofRun('data'),
  'study2/settings.json': JSON.stringify({ ...settings, averageBits: 5, data: { data: 'digest' } }),
  'twice/cells.jsonl': `${lines}\n`,
  'busy/raad.lock': lock,
  'busy.safetensors.lock': lock,
  'models/float.safetensors': 'precious',
  'visa/split_csv/1cls.csv': `object,split,label,image,mask\n${row}/0.png,\n${row}/1.png,\n../../X,test,normal,X/0.png,\n`,
  'visa/X/0.png': photo,
  'visa/X/1.png': photo,
});
const good = 'data/train/good/000.png';
const bad = 'data/test/scratch/000.png';
const long = 'n'.repeat(250);

/** No command gets as far as a device: there is none of this name. */
function refusal(args: readonly string[]): string {
  const { status, stderr } = spawnSync(process.execPath, [CLI, ...args, '--adapter', 'voodoo'], {
    cwd: folder,
    encoding: 'utf8',
  });
  const lines = stderr.split('\n').filter((line) => line.startsWith('raad: '));
  expect(lines, stderr).toHaveLength(1);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(status).toBeGreaterThan(0);
  expect(status).toBeLessThan(3);
  return lines[0]!;
}

const inputs = ['m.safetensors', 'plan.json', good, bad, 'photos/0.png', 'measured.json', 'data/generated.json'];
inputs.push('models/float.safetensors');
const before = inputs.map((path) => readFileSync(at(path)));

const calibrating = ['quantize', 'm.safetensors', '--bits', '8', '--calibrate', 'data'];
const recalibrating = ['recalibrate', 'm.safetensors', '--plan', 'plan.json', 'data'];
const allocating = ['allocate', 'm.safetensors', 'data', '-o'];

test.each<[args: string[], message: RegExp]>([
  // Over an input.
  [['fit', 'data', '-o', good], /would replace .*000\.png, which this command reads/],
  [['fit', 'data', '-o', 'x', '--log', good], /would replace/],
  [['fit', 'data', '-o', 'photos/0.png', '--penalty', 'photos'], /would replace/],
  [[...calibrating, '-o', 'm.safetensors'], /m\.safetensors would replace a file that this command reads/],
  [[...calibrating, '-o', './data/../m.safetensors'], /would replace m\.safetensors/],
  ...(process.platform === 'win32'
    ? []
    : ([
        [[...calibrating, '-o', 'hard.safetensors'], /hard\.safetensors would replace m\.safetensors/],
        [[...calibrating, '-o', 'soft.safetensors'], /soft\.safetensors would replace m\.safetensors/],
      ] as [string[], RegExp][])),
  [[...recalibrating, '-o', 'plan.json'], /would replace/],
  [[...recalibrating, '-o', bad], /would replace/],
  [[...allocating, 'm.safetensors'], /would replace/],
  [[...allocating, 'p.json', '--chart', good], /would replace/],
  [[...allocating, 'p.json', '--chart', './p.json'], /are one file, for two outputs/],
  [['export', 'm.safetensors', '--onnx', 'm.safetensors'], /would replace/],
  [['attention', 'm.safetensors', good, '-o', good], /would replace/],
  [['bias', 'm.safetensors', 'data', '-o', bad], /would replace/],
  [['sensitivity', 'm.safetensors', 'data', '--csv', 'm.safetensors'], /would replace/],
  [['bench', '--model', 'm.safetensors', '--json', 'm.safetensors'], /would replace/],
  [['study', 'data', '--out', 'study', '--markdown', good], /would replace/],
  [['generate', '-o', 'data', '--part', 'bracket', '--resolution', '64'], /000\.png is there already/],
  [['run', 'data', '-o', 'models', '--preset', 'quick'], /float\.safetensors is there already, and models is not the/],
  // Another data set, other images, another process.
  [['run', 'data', '-o', 'ofOther', '--preset', 'quick'], /was made with set "other", this run has "data"/],
  [['run', 'data', '-o', 'ofChanged', '--preset', 'quick'], /was made with other images in data/],
  [['study', 'data', '--out', 'study2', '--arms', 'float'], /was made with other images in data/],
  [['study', 'data', '--out', 'twice', '--tables'], /lines 1 and 2 are both "data\/0\/float", with different figures/],
  [['study', 'data', '--out', 'busy'], /busy is in use by process 1 on elsewhere since 2026/],
  [['run', 'data', '-o', 'busy'], /busy is in use by process 1 on elsewhere/],
  [['fit', 'data', '-o', 'busy.safetensors'], /busy\.safetensors is in use by process 1 on elsewhere since 2026/],
  [[...recalibrating, '-o', 'busy.safetensors'], /busy\.safetensors is in use by process 1 on elsewhere/],
  [['fit', 'data', '-o', 'x', '--log', 'x.lock'], /are one file, for two outputs/],
  [
    ['eval', 'others', 'data'],
    /others\/data\.safetensors was trained on other images than data holds to learn from: only/,
  ],
  [['eval', 'models', 'visa'], /models\/X-[0-9a-f]{8}\.safetensors cannot be read: it does not exist/],
  // What used to be refused after the work.
  [['fit', 'data', '-o', 'x', '--alpha', '1'], /a false-alarm rate of 1 cannot be used/],
  [[...calibrating, '-o', 'x', '--alpha', '0'], /a false-alarm rate of 0 cannot be used/],
  [[...recalibrating, '-o', 'x', '--alpha', '1'], /a false-alarm rate of 1 cannot be used/],
  [['fit', 'data', '-o', 'x', '--checkpoint-every', '0'], /--checkpoint-every 0 cannot be used/],
  [[...recalibrating, '-o', 'x', '--checkpoint-every', '1.5'], /--checkpoint-every 1\.5 cannot be used/],
  [[...recalibrating, '-o', 'x', '--iterations', '0'], /iterations 0 cannot be used/],
  [[...recalibrating, '-o', 'raw', '--resume'], /raw\.checkpoint/],
  [['fit', 'data', '-o', 'raw', '--resume'], /raw\.checkpoint/],
  [['fit', 'data', '-o', 'x', '--teacher', 'plan.json'], /plan\.json/],
  [['fit', 'data', '-o', long], /n\.checkpoint cannot be written: a name in it is too long/],
  [['fit', 'data', '-o', 'x', '--log', 'file/log'], /file\/log cannot be written: a part of the path is a file/],
  [[...calibrating, '-o', 'file/x'], /a part of the path is a file/],
  [['eval', 'm.safetensors', 'data', '--out', 'file'], /a part of the path is a file/],
  [['eval', 'plan.json', 'data'], /plan\.json/],
  [['run', 'data', '-o', 'file'], /a part of the path is a file/],
  [[...allocating, 'p.json', '--mode', 'budget'], /the mode budget needs a limit/],
  [[...allocating, 'p.json', '--average-bits', '1'], /cannot be brought under an average of 1 bits/],
  [[...allocating, 'p.json', '--bits', '4,8'], /2 thresholds divide scores into 3 classes/],
  [[...allocating, 'p.json', '--thresholds', '0.5,0.2'], /do not ascend/],
  [[...allocating, 'p.json', '--map', 'cka', '--contribution', 'separability'], /without a map/],
  [['sensitivity', 'm.safetensors', 'data', '--layers', 'nothing'], /--layers names 'nothing'/],
  [['bench', '--json', 'file/x'], /a part of the path is a file/],
  [['bench', '--resolution', '100'], /100/],
  [['bench', 'dispatches', '--trace', long.repeat(2)], /a name in it is too long/],
  [['doctor', '--json', 'file/x'], /a part of the path is a file/],
  [['tune', '--export', 'file/x'], /a part of the path is a file/],
  [['tune', '--import', 'nowhere'], /nowhere cannot be read/],
  [['tune', '--bits', '9'], /--bits 9 does not exist/],
  [['estimate', '--json', 'file/x'], /a part of the path is a file/],
  [['demo', '--out', 'file'], /a part of the path is a file/],
  [['predict', 'm.safetensors', bad, '--out', 'file'], /a part of the path is a file/],
])('%j', (args, message) => {
  expect(refusal(args)).toMatch(message);
  expect(inputs.map((path) => readFileSync(at(path)).equals(before[inputs.indexOf(path)]!))).not.toContain(false);
});

test('a model and a data set that were named are taken as a pair, and what differs is said', () => {
  const said = (...args: string[]) =>
    spawnSync(process.execPath, [CLI, ...args, '--adapter', 'voodoo'], { cwd: folder, encoding: 'utf8' }).stderr;
  const note = /^note: .*was trained on other images than data holds to learn from/m;
  const [own, others] = ['own/data.safetensors', 'others/data.safetensors'];
  expect(said('eval', others, 'data')).toMatch(note);
  for (const command of [['bias'], ['sensitivity'], ['quantize', '--bits', '8', '-o', 'q', '--calibrate']]) {
    const [name, ...rest] = command as [string, ...string[]];
    expect(said(name, others, ...rest, 'data'), name).toMatch(note);
    expect(said(name, own, ...rest, 'data'), name).not.toMatch(note);
  }
  for (const args of [
    ['eval', own, 'data'],
    ['eval', 'own', 'data'],
    // Models that tell nothing, and images without those to learn from.
    ['eval', 'm.safetensors', 'data'],
    ['eval', others, '--good', 'data/test/good', '--bad', 'data/test/scratch'],
  ]) {
    const text = said(...args);
    expect(text, args.join(' ')).not.toMatch(/trained on other images/);
    expect(text, args.join(' ')).toMatch(/voodoo/);
  }
});

test.skipIf(process.platform === 'win32')('a pipe as an output', () => {
  spawnSync('mkfifo', [at('pipe')]);
  expect(refusal([...calibrating, '-o', 'pipe'])).toMatch(/pipe cannot be written: it is a pipe, not a file/);
  expect(statSync(at('pipe')).isFIFO()).toBe(true);
});

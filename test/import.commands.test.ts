import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { readSafetensors } from '../src/formats/safetensors.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { commandLine } from './support/commandLine.ts';
import { temporaryFolder } from './support/temporary.ts';
import { untrainedDetector } from './support/untrained.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const { raad, ok } = commandLine(folder);
for (const file of ['teachers.zip', 'modules.zip', 'tiny.pth'])
  copyFileSync(fileURLToPath(new URL(`golden/torch/${file}`, import.meta.url)), at(file));
const state = await untrainedDetector();
writeFileSync(at('model.safetensors'), await saveDetector({ state }));

test('a teacher comes in and goes out again', () => {
  expect(raad('import-teacher', 'teachers.zip', '-o', 't.safetensors')).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^raad: teachers.zip holds 2 teachers: .*\. Choose a size with --size \(s, m\)\.\n$/),
  });
  expect(ok('import-teacher', 'teachers.zip', '--size', 's', '-o', 't.safetensors').stdout).toMatch(
    /PDN-S teacher, 107\d+ bytes/,
  );
  ok('export', 't.safetensors', '--torch', 't.pth', '--names', 'sequential');
  ok('import-teacher', 't.pth', '-o', 'again.safetensors');
  expect(Buffer.compare(readFileSync(at('again.safetensors')), readFileSync(at('t.safetensors')))).toBe(0);
  expect(readSafetensors(readFileSync(at('again.safetensors')), 't').metadata['network']).toBe('PDN-S');
});

test('what goes out is without the region, which is said', async () => {
  const corners = [
    [2, 3],
    [90, 3],
    [90, 60],
    [2, 60],
  ] as const;
  writeFileSync(
    at('region.safetensors'),
    await saveDetector({ state: { ...state, region: { width: 96, height: 64, corners } } }),
  );
  for (const [option, file] of [
    ['--torch', 'region.pth'],
    ['--onnx', 'region.onnx'],
  ] as const) {
    const { stderr } = ok('export', 'region.safetensors', option, file);
    expect(stderr).toBe(
      `note: the detector's region is no part of ${file}: give it images of which only the region is left, upright (corners 2,3 90,3 90,60 2,60 in images of 96x64).\n`,
    );
    expect(ok('export', 'model.safetensors', option, file).stderr).toBe('');
  }
});

test('a detector goes out and comes in, with a threshold from a folder of good images', async () => {
  expect(ok('export', 'model.safetensors', '--torch', 'model.pth').stdout).toMatch(
    /a state dict of anomalib's EfficientAdModel/,
  );
  expect(ok('import-detector', 'model.pth', '-o', 'back.safetensors', '--placement', 'anomalib').stdout).toMatch(
    /PDN-XS, 128 px, .*no threshold/,
  );
  const back = await readModel(readFileSync(at('back.safetensors')));
  expect(back).toMatchObject({ placement: 'anomalib', quantiles: state.quantiles });
  await writeInspectionSet(at('biscuit'), {
    part: 'biscuit',
    seed: 2,
    size: 96,
    train: 8,
    testGood: 1,
    testPerDefect: 1,
  });
  const { stdout, stderr } = ok(
    'import-detector',
    'model.pth',
    '--calibrate',
    'biscuit',
    '--padding',
    'zeros',
    '-o',
    'padded.safetensors',
  );
  expect(stdout).toMatch(/threshold -?\d/);
  expect(stderr).toMatch(/may have been trained on/);
  expect(ok('info', 'padded.safetensors').stdout).toMatch(
    /map 32x32, 128 channels, placement exact, padded with zeros/,
  );
  expect(ok('predict', 'padded.safetensors', 'biscuit/train/good', '--no-heatmap').stdout).toMatch(/000\.png/);
});

test('what cannot be is refused with one sentence, and nothing is written', () => {
  const cases: readonly [readonly string[], number, RegExp][] = [
    [
      ['import-detector', 'modules.zip', '-o', 'x'],
      2,
      /modules.zip has no statistics of the teacher\. Give the images/,
    ],
    [['import-teacher', 'tiny.pth', '-o', 'x'], 1, /tiny.pth holds no PDN teacher/],
    [['import-teacher', 'tiny.pth', '-o', 'tiny.pth'], 1, /would replace a file that this command reads/],
    [['import-teacher', 'tiny.pth'], 2, /needs a file and -o/],
    [['import-detector', 'model.safetensors', '-o', 'x', '--padding', 'ones'], 2, /--padding ones is not known/],
    [['export', 'model.safetensors', '--torch', 'x', '--onnx', 'y'], 2, /--onnx or --torch/],
    [['export', 'model.safetensors', '--torch', 'x', '--names', 'plain'], 2, /--names is for teachers/],
    [['export', 'tiny.pth', '--torch', 'x'], 1, /tiny.pth is not a usable safetensors file/],
  ];
  for (const [args, status, message] of cases) {
    const result = raad(...args);
    expect(result.status, args.join(' ')).toBe(status);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
  }
  expect(existsSync(at('x'))).toBe(false);
});

import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { loadDetector, readModel, saveDetector } from '../src/detector/modelFile.ts';
import { packPixels } from '../src/imaging/pixels.ts';
import { openDatasets, trainingDigest } from '../src/node/datasets.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { encodeMaskPng } from '../src/node/images.ts';
import { CLI, commandLine } from './support/commandLine.ts';
import { engine } from './support/gpu.ts';
import { filesOf } from './support/page.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const { raad } = commandLine(folder);

/** A mistake of the user: the exit code, one sentence on stderr, no stack trace, nothing on stdout. */
function expectRefusal(args: readonly string[], message: RegExp, code = 1): void {
  const { status, stdout, stderr } = raad(...args);
  const lines = stderr.split('\n').filter((line) => line.startsWith('raad: '));
  expect(lines, stderr).toHaveLength(1);
  expect(lines[0]).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stdout).toBe('');
  expect(status).toBe(code);
}

const generated = await writeInspectionSet(at('data'), {
  part: 'biscuit',
  seed: 2,
  size: 96,
  train: 6,
  testGood: 2,
  testPerDefect: 1,
});
writeTree(folder, { 'data/train/good/broken.png': 'no image', 'empty/readme.txt': '', 'text.safetensors': 'hello' });
const QUICK = ['--preset', 'quick', '--iterations', '2', '--batch', '1'];

describe('the main job', () => {
  test('fit leaves out what cannot be read, and writes a model', () => {
    const { status, stdout, stderr } = raad(
      'fit',
      'data',
      '-o',
      'models/biscuit.safetensors',
      ...QUICK,
      '--log',
      'log.jsonl',
    );
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^models\/biscuit.safetensors: threshold \d/);
    expect(stderr).toMatch(/^adapter: .+ \((gpu|lavapipe|swiftshader), \w+\)$/m);
    expect(stderr).toMatch(/broken.png cannot be decoded/);
    expect(stderr).toMatch(/1 image was left out/);
    expect(stderr).toMatch(/training: 2\/2 steps, .* hard \d/);
    expect(readdirSync(at('models'))).toEqual(['biscuit.safetensors']);
    expect(JSON.parse(readFileSync(at('log.jsonl'), 'utf8').split('\n')[0]!)).toHaveProperty('hard');
    const { provenance } = JSON.parse(raad('info', 'models/biscuit.safetensors', '--json').stdout);
    expect(provenance.dataDigest).toMatch(/^[0-9a-f]{64}$/);
  });

  test('info', () => {
    const { status, stdout } = raad('info', 'models/biscuit.safetensors');
    expect(status).toBe(0);
    expect(stdout).toMatch(/PDN-XS detector, 128x128 px/);
    const json = JSON.parse(raad('info', 'models/biscuit.safetensors', '--json').stdout);
    expect(json).toMatchObject({ size: 'xs', resolution: 128, provenance: { iterations: 2, dataset: 'data' } });
  });

  test('eval prints the table and writes scores, metrics and heat maps', () => {
    const { status, stdout, stderr } = raad('eval', 'models/biscuit.safetensors', 'data', '--out', 'results');
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/defect +images +AUROC +AU-PRO 0.3/);
    expect(stdout).toMatch(/2 good and 7 defective images/);
    const csv = readFileSync(at('results/scores.csv'), 'utf8').trim().split('\r\n');
    expect(csv).toHaveLength(10);
    expect(csv[0]).toBe('image,defect,score,anomalous,student_teacher,autoencoder');
    const metrics = JSON.parse(readFileSync(at('results/metrics.json'), 'utf8'));
    expect(metrics.auroc).toBeGreaterThanOrEqual(0);
    expect(metrics.overlap.areas).toHaveLength(2);
    expect(readdirSync(at('results/heatmaps/crack'))).toEqual(['000.png']);
    const json = JSON.parse(raad('eval', 'models/biscuit.safetensors', 'data', '--json').stdout);
    expect(json.data).toEqual(metrics);
  });

  test('quantize: a smaller model with what eval, predict and info need', () => {
    const args = ['models/biscuit.safetensors', '--calibrate', 'data', '-o', 'models/small.safetensors'];
    const { status, stdout, stderr } = raad('quantize', ...args, '--bits', '3', '--time');
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^models\/small.safetensors: \d+ bytes, threshold \d/);
    expect(stdout).toMatch(/^kernels here: .*\w+ for (?:[\w.]+, )*teacher\.conv2,/m);
    expect(stdout).toMatch(/^on the device: [\d.]+ MB, [\d.]+ of float's [\d.]+ MB$/m);
    expect(stdout).toMatch(/^an image: [\d.]+ ms, [\d.]+ of float's [\d.]+ ms$/m);
    const [floats, small] = ['biscuit', 'small'].map((name) => readFileSync(at(`models/${name}.safetensors`)).length);
    expect(small! / floats!).toBeLessThan(3 / 32 + 0.03);
    const info = raad('info', 'models/small.safetensors').stdout;
    expect(info).toMatch(/PDN-XS quantized detector/);
    expect(info).toMatch(/teacher.conv2 +64x32x4x4 +32768 +3 +8 +12544 /);
    expect(info).toMatch(/weights of all convolutions: \d+ bytes, 9\.\d % of float/);
    const json = JSON.parse(raad('eval', 'models/small.safetensors', 'data', '--json').stdout);
    expect(json.data.auroc).toBeGreaterThanOrEqual(0);
    expectRefusal(['quantize', ...args, '--bits', '9'], /--bits 9 does not exist. Use one of 2, 3, 4/, 2);
    expectRefusal(['quantize', ...args], /either --bits or --plan/, 2);
    expectRefusal(['quantize', ...args, '--bits', '8', '--activations', '5'], /--activations 5 does not exist/, 2);
    expectRefusal(
      ['quantize', 'models/small.safetensors', ...args.slice(1), '--bits', '8'],
      /is quantized already. Give the float model/,
    );
    writeFileSync(at('plan.json'), '{"format":"raad-bit-plan","version":1,"layers":{"teacher.conv9":{}}}');
    expectRefusal(['quantize', ...args, '--plan', 'plan.json'], /names the layer "teacher.conv9"/);
  });

  test('sensitivity: a table that is continued, and a chart', () => {
    const args = ['models/biscuit.safetensors', 'data', '--layers', 'student.conv2', '--csv', 'sens.csv'];
    const first = raad('sensitivity', ...args, '--bits', '8');
    expect(first.status, first.stderr).toBe(0);
    const { status, stderr } = raad('sensitivity', ...args, '--bits', '8,2', '--chart', 'sens.svg');
    expect(status, stderr).toBe(0);
    const rows = readFileSync(at('sens.csv'), 'utf8').trim().split('\n');
    expect(rows.map((row) => row.split(',').slice(0, 3).join())).toEqual([
      'layer,weights,activations',
      'none,32,32',
      'student.conv2,8,8',
      'student.conv2,2,8',
    ]);
    // Fewer bits, more noise.
    expect(Number(rows[2]!.split(',')[5])).toBeGreaterThan(Number(rows[3]!.split(',')[5]));
    expect(readFileSync(at('sens.svg'), 'utf8')).toMatch(/student.conv2 w2a8/);
    expectRefusal(['sensitivity', 'models/biscuit.safetensors', 'data', '--layers', 'x'], /--layers names 'x'/, 2);
  });

  test('a folder of models for a folder of data sets', async () => {
    mkdirSync(at('models/all'));
    for (const name of ['a', 'b']) {
      writeFileSync(at(`models/all/${name}.safetensors`), readFileSync(at('models/biscuit.safetensors')));
      writeTree(folder, { [`many/${name}/train/good/0.png`]: readFileSync(at('data/train/good/000.png')) });
      for (const [kind, file] of [
        ['good', 'test/good/000.png'],
        ['crack', 'test/crack/000.png'],
      ] as const) {
        writeTree(folder, { [`many/${name}/test/${kind}/0.png`]: readFileSync(at('data', file)) });
      }
    }
    expectRefusal(
      ['eval', 'models/all', 'many'],
      /a.safetensors was trained on other images than a holds to learn from/,
    );
    const state = await readModel(readFileSync(at('models/biscuit.safetensors')), 'biscuit');
    const { root, datasets } = await openDatasets(at('many'));
    for (const dataset of datasets) {
      const dataDigest = (await trainingDigest({ root, dataset }))!;
      const provenance = { ...state.provenance, dataDigest };
      writeFileSync(
        at(`models/all/${dataset.name}.safetensors`),
        await saveDetector({ state: { ...state, provenance } }),
      );
    }
    const { status, stdout, stderr } = raad('eval', 'models/all', 'many');
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/data set +AUROC/);
    expect(stdout).toMatch(/mean/);
    expectRefusal(['eval', 'models/biscuit.safetensors', 'many'], /many holds 2 data sets.*--category \(a, b\)/);
    expectRefusal(['eval', 'models/all', 'many', '--category', 'c'], /there is no data set 'c'. Use one of: a, b/);
  });

  test('predict: files, folders, patterns; a bad file is named and left out', () => {
    const { status, stdout, stderr } = raad(
      'predict',
      'models/biscuit.safetensors',
      'data/test/crack',
      'data/test/good/*.png',
      '--out',
      'maps',
    );
    expect(status, stderr).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(3);
    expect(stdout).toMatch(/score -?\d+\.\d{4} {2}(normal|anomalous) {2}-> maps\//);
    expect(readdirSync(at('maps'))).toHaveLength(3);
    const one = raad('predict', 'models/biscuit.safetensors', 'data/train/good', '--json', '--no-heatmap');
    expect(one.status).toBe(1);
    expect(one.stderr).toMatch(/1 of 7 images were left out/);
    expect(one.stderr).toMatch(/broken.png cannot be decoded/);
    const lines = one.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(6);
    expect(lines[0]).toMatchObject({ image: 'data/train/good/000.png', width: 96, height: 96 });
  });

  test('on a CPU adapter precision changes nothing, and that is said', () => {
    const { status, stdout, stderr } = raad(
      ...['predict', 'models/biscuit.safetensors', 'data/train/good/000.png', '--no-heatmap', '--precision', 'f16'],
    );
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/kernels with halves are made for GPUs/);
    expect(stdout).toBe(
      raad('predict', 'models/biscuit.safetensors', 'data/train/good/000.png', '--no-heatmap').stdout,
    );
  });

  test('the shaders that run', () => {
    const { status, stdout } = raad(
      'predict',
      'models/biscuit.safetensors',
      'data/test/good/000.png',
      '--no-heatmap',
      '--dump-wgsl',
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\/\/ ---- conv2d/m);
    expect(stdout).toMatch(/@compute/);
    // With the comments that builds leave out.
    expect(stdout).toMatch(/^\/\/ reference: /m);
    expect(stdout).toMatch(/^\/\/ Linear index of an invocation.*\nfn linearIndex/m);
  });

  test('devices', () => {
    const text = raad('devices').stdout;
    expect(text).toMatch(/^\* .+/);
    for (const title of [
      'device',
      'driver',
      'vendor',
      'nature',
      'subgroups',
      'matrices',
      'features',
      'workgroups',
      'buffers',
    ])
      expect(text).toMatch(new RegExp(`^ {4}${title} +\\S`, 'm'));
    const [best] = JSON.parse(raad('devices', '--json').stdout);
    expect(best.caps.limits.maxStorageBufferBindingSize).toBeGreaterThan(0);
    expect(best.caps.device).toEqual(expect.any(String));
    expect(best.caps.subgroupMatrixConfigs).toEqual(expect.any(Array));
  });
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('%s saves the state', async (signal, expected) => {
  const args = [
    'fit',
    'data',
    '-o',
    'stopped.safetensors',
    '--preset',
    'quick',
    '--iterations',
    '5000',
    '--batch',
    '1',
  ];
  const child = spawn(process.execPath, [CLI, ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    const before = stderr.includes('training:');
    stderr += chunk;
    if (!before && stderr.includes('training:')) child.kill(signal);
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  expect(code, stderr).toBe(expected);
  expect(stderr).toContain('the state is in stopped.safetensors.checkpoint, go on with --resume');
  expect(readdirSync(folder).filter((file) => file.startsWith('stopped'))).toEqual(['stopped.safetensors.checkpoint']);
});

test('the number of generated images is told', () => {
  expect(generated).toBe(6 + 2 + 7);
});

describe('usage', () => {
  test('help', () => {
    const { status, stdout } = raad('--help');
    expect(status).toBe(0);
    for (const command of ['fit', 'eval', 'predict', 'report', 'info', 'devices', 'generate', 'demo']) {
      expect(stdout).toContain(`raad ${command}`);
      expect(raad(command, '--help').status).toBe(0);
    }
    expect(raad().status).toBe(2);
  });

  test.each([
    [['fly'], /there is no command 'fly'/],
    [['fit', 'data'], /fit needs -o/],
    [['fit', 'data', '-o', 'x', '--wings', '2'], /unknown option '--wings'/],
    [['fit', 'data', '-o', 'x', '--batch', 'two'], /--batch two is not a number/],
    [['fit', 'data', '-o', 'x', '--size', 'xxl'], /--size xxl is not known. Use one of: xs, s, m/],
    [['predict', 'models/biscuit.safetensors'], /predict needs a model and images/],
    [['report'], /report needs the folder of one run/],
  ])('%j', (args, message) => {
    expectRefusal(args, message, 2);
  });
});

describe('bad input', () => {
  test.each([
    [['fit', 'nowhere', '-o', 'x'], /the folder nowhere does not exist/],
    [['fit', 'text.safetensors', '-o', 'x'], /text.safetensors is a file, not a folder/],
    [['fit', 'empty', '-o', 'x'], /empty holds no good images/],
    [['fit', '--good', 'empty', '-o', 'x'], /the folder empty holds no images/],
    [['fit', 'data', '-o', 'x', '--resolution', '200'], /200/],
    [['fit', 'data', '-o', 'x', '--size', 'm'], /no teacher comes with size m/],
    [['fit', 'data', '-o', 'x', '--teacher', 'text.safetensors'], /text.safetensors/],
    [['fit', 'data', '-o', 'x', '--penalty', 'empty'], /the folder empty holds no images/],
    [['fit', 'data', '-o', 'data'], /data cannot be written: it is a folder/],
    [['fit', 'data', '-o', '/proc/x/model.safetensors'], /cannot be written/],
    [['fit', 'data', '-o', 'x', '--adapter', 'voodoo'], /there is no WebGPU adapter 'voodoo'; found: /],
    [['eval', 'nowhere.safetensors', 'data'], /nowhere.safetensors cannot be read: it does not exist/],
    [['eval', 'text.safetensors', 'data'], /text.safetensors/],
    [['predict', 'models/biscuit.safetensors', 'nowhere.png'], /nowhere.png does not exist/],
    [['predict', 'models/biscuit.safetensors', 'text.safetensors'], /none of the images could be scored/],
    [['info', 'text.safetensors'], /text.safetensors/],
    [['report', 'nowhere'], /the folder nowhere does not exist/],
    [['report', 'empty'], /empty holds no run.json/],
  ])('%j', (args, message) => {
    const before = readdirSync(folder).sort();
    expectRefusal(args, message);
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  test('a mask of another size', async () => {
    writeTree(folder, {
      'masked/train/good/0.png': readFileSync(at('data/train/good/000.png')),
      'masked/test/crack/0.png': readFileSync(at('data/test/crack/000.png')),
      'masked/ground_truth/crack/0_mask.png': await encodeMaskPng(new Uint8Array(50), 10, 5),
    });
    expectRefusal(['eval', 'models/biscuit.safetensors', 'masked'], /0_mask.png is 10x5, its image 96x96/);
  });

  test('no test images', () => {
    expectRefusal(['eval', 'models/biscuit.safetensors', 'data/train/good'], /good holds no test images/);
  });

  test('an output that cannot be written', () => {
    const out = ['--out', 'text.safetensors/maps'];
    expectRefusal(
      ['predict', 'models/biscuit.safetensors', 'data/test/good/000.png', ...out],
      /a part of the path is a file/,
    );
  });
});

test('export: onnxruntime runs it on the same image and finds the same map', async () => {
  const { status, stdout, stderr } = raad('export', 'models/biscuit.safetensors', '--onnx', 'biscuit.onnx');
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/^biscuit.onnx: \d+ bytes, input image \[1, 3, 128, 128\]/);
  const { width, height, data } = renderSpecimen('biscuit', undefined, 3, 128).image;
  expect([width, height]).toEqual([128, 128]);
  const x = Float32Array.from(
    { length: 3 * 128 * 128 },
    (_, i) => data[(i % 16384) * 3 + Math.floor(i / 16384)]! / 255,
  );
  const session = await InferenceSession.create(at('biscuit.onnx'), { executionProviders: ['cpu'] });
  const { map } = await session.run({ image: new Tensor('float32', x, [1, 3, 128, 128]) }, ['map']);
  await session.release();

  const detector = await loadDetector(await engine(), readFileSync(at('models/biscuit.safetensors')));
  const pixels = packPixels(renderSpecimen('biscuit', undefined, 3, 128).image);
  const ours = (await (await detector.compile(1)).run({ image: pixels }, ['combined']))['combined']!;
  const theirs = map!.data as Float32Array;
  const largest = Math.max(...Array.from(theirs, Math.abs));
  expect(Math.max(...Array.from(theirs, (value, i) => Math.abs(value - ours[i]!))) / largest).toBeLessThan(1e-4);
  detector.destroy();
  expectRefusal(['export', 'models/biscuit.safetensors'], /export needs a model file and --onnx/, 2);
  expectRefusal(['export', 'text.safetensors', '--onnx', 'x.onnx'], /text.safetensors/);
});

describe('the bench', () => {
  test('networks and peaks as a table, JSON and a chart', () => {
    const options = [
      '--rounds',
      '1',
      '--warm-up',
      '0',
      '--json',
      'bench.json',
      '--svg',
      'bench.svg',
      '--share',
      'share.json',
    ];
    const { status, stdout, stderr } = raad('bench', 'peak', 'networks', ...options);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^peaks: f32 \d/);
    expect(stdout).toMatch(/detector xs 128 px x 1/);
    const report = JSON.parse(readFileSync(at('bench.json'), 'utf8'));
    expect(report.results).toHaveLength(4);
    expect(report.peaks.f32GFlops).toBeGreaterThan(0);
    expect(report.toggles).toEqual({ on: [], off: ['timestamp_quantization'] });
    expect(readFileSync(at('bench.svg'), 'utf8')).toMatch(/^<svg .*f32 peak.*<\/svg>/s);
    expect(Object.keys(JSON.parse(readFileSync(at('share.json'), 'utf8')))).not.toContain('commit');
  });

  test('kernels on shapes of one’s own as a table, CSV, JSON and a chart', () => {
    const page = new URL('../docs/adding-a-variant.md', import.meta.url);
    writeTree(folder, filesOf(page));
    const files = ['--csv', 'kernels.csv', '--json', 'kernels.json', '--svg', 'kernels.svg'];
    const shapes = ['--shape', '1,5,7,9:6,1,1', '--shape', '2,5,6,6:3,2,2:2,1'];
    const chosen = ['--bits', '2..3', '--activations', 'u8,f16', '--variants', 'direct,rows,pointwise'];
    const args = ['--kernel', 'conv2d,qconv2d', ...shapes, ...chosen, '--variant-module', 'pointwise.mjs'];
    const { status, stdout, stderr } = raad('bench', ...args, '--rounds', '1', '--warm-up', '0', ...files);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^peaks: f32 \d/);
    expect(stdout).toMatch(
      /shape +kernel +bits +activations +variant +median ms +p5 ms +p95 ms +GOP\/s +GB\/s +error +exact/,
    );
    expect(stdout).toMatch(/exact +% of peak +peak +bound by +% of bound +executed GOP\/s +weight bytes/);
    expect(stderr).toMatch(/conv2d pointwise is left out for 2,5,6,6:3,2,2:2,1, w32 f32: .* this shape/);
    const rows: Record<string, string>[] = parse(readFileSync(at('kernels.csv'), 'utf8'), { columns: true });
    const find = (kernel: string, variant: string) =>
      rows.filter((row) => row['kernel'] === kernel && row['variant'] === variant);
    expect(find('conv2d', 'pointwise').map((row) => row['shape'])).toEqual(['1,5,7,9:6,1,1']);
    expect(find('qconv2d', 'direct').map((row) => [row['bits'], row['activations'], row['exact']].join())).toEqual(
      Array(2).fill(['2,u8,true', '2,f16,', '3,u8,true', '3,f16,']).flat(),
    );
    for (const row of rows) expect(Number(row['error']), JSON.stringify(row)).toBeLessThan(1e-3);
    const report = JSON.parse(readFileSync(at('kernels.json'), 'utf8'));
    expect(report.results).toHaveLength(rows.length);
    expect(report.peaks.f32GFlops).toBeGreaterThan(0);
    expect(report.settings.shapes).toEqual(['1,5,7,9:6,1,1', '2,5,6,6:3,2,2:2,1']);
    expect(readFileSync(at('kernels.svg'), 'utf8')).toMatch(/qconv2d w3 u8 direct/);
  });

  test.each([
    [['--kernel', 'conv3d'], /--kernel conv3d is not known. Use some of: conv2d, qconv2d/],
    [['--kernel', 'qconv2d', '--bits', '9'], /--bits 9 does not exist. Use some of 2, 3, 4, 5, 6, 7, 8/],
    [['--kernel', 'qconv2d', '--bits', '4..12'], /--bits 4..12 does not exist/],
    [['--kernel', 'qconv2d', '--activations', 'u2'], /--activations u2 is not known/],
    [['--kernel', 'qconv2d', '--shape', '1,2,3'], /--shape 1,2,3 is no shape. Write N,CI,H,W:CO,KH,KW/],
    [['--kernel', 'qconv2d', '--shape', '1,0,9,9:4,3,3'], /has a number that cannot be used/],
    [['--kernel', 'qconv2d', '--shape', '1,4,2,9:4,3,3'], /a kernel that is larger than the padded input/],
    [['--kernel', 'qconv2d', '--group-size', '6'], /--group-size 6 does not divide 128 input channels/],
    [
      ['--kernel', 'qconv2d', '--variants', 'magic'],
      /no variant 'magic'. qconv2d has .*rows, lanes, .*matrix4x4, .*tile, direct/,
    ],
    [['--kernel', 'qconv2d', 'layers'], /layers does not go with --kernel/],
    [['--kernel', 'qconv2d', '--size', 's'], /--size does not go with --kernel/],
    [['--bits', '4'], /--bits goes with --kernel/],
    [['--shape', '1,4,9,9:4,3,3'], /--shape goes with --kernel/],
  ])('%j', (args, message) => {
    expectRefusal(['bench', ...args], message, 2);
  });

  test('bad input', () => {
    expectRefusal(['bench', '--kernel', 'conv2d', '--variant-module', 'missing.mjs'], /missing.mjs cannot be loaded/);
    expectRefusal(['bench', 'nonsense'], /there is no suite 'nonsense'/, 2);
    expectRefusal(['bench', '--toggles', 'a,,b'], /--toggles: the toggle '' is no name/, 2);
    expectRefusal(['bench', '--toggles=-a,a'], /--toggles: the toggle a is switched on and off/, 2);
    expectRefusal(['bench', '--batch', '0'], /--batch 0 cannot be used/, 2);
    expectRefusal(['bench', '--shader', 'missing.wgsl'], /missing.wgsl cannot be read/);
    expectRefusal(['tune', '--bits', '4,9'], /--bits 9 does not exist/, 2);
    expectRefusal(['tune', '--import', 'text.safetensors'], /the tuning table is not JSON/);
    expectRefusal(['tune', '--import', 'missing.json'], /missing.json cannot be read/);
  });

  test('another kernel for one run', () => {
    const source = fileURLToPath(new URL('../shaders/map_combine.wgsl', import.meta.url));
    writeFileSync(at('map_combine.wgsl'), `// replaced\n${readFileSync(source, 'utf8')}`);
    const run = (file: string) =>
      raad('predict', 'models/biscuit.safetensors', 'data/train/good/000.png', '--shader', file, '--dump-wgsl');
    expect(run('map_combine.wgsl').stdout).toContain('// replaced');
    writeFileSync(at('unheard_of.wgsl'), '');
    expect(run('unheard_of.wgsl').stderr).toMatch(/no kernel called unheard_of.wgsl ran/);
  });
});

describe('estimate', () => {
  test('predicts every dispatch, and sets what was measured beside it', () => {
    const measured = { dispatches: [{ name: 'both.conv1', median: 0.5 }] };
    writeFileSync(at('measured.json'), JSON.stringify(measured));
    const small = ['estimate', '--size', 'xs', '--resolution', '128', '--card', 'all'];
    const { status, stdout } = raad(...small, '--measured', 'measured.json', '--json', 'estimate.json');
    expect(status).toBe(0);
    expect(stdout).toMatch(/both\.conv1 .* 500 /);
    const { predictions } = JSON.parse(readFileSync(at('estimate.json'), 'utf8'));
    expect(predictions).toHaveLength(4);
    for (const { total, dispatches, latency } of predictions) {
      expect(total.dispatches).toBe(dispatches.length);
      expect(total.milliseconds).toBe(latency);
    }
  });

  test('predicts less time with halves, and least by matrices', () => {
    const small = ['estimate', '--size', 'xs', '--resolution', '128', '--json', 'halves.json', '--precision'];
    const read = (precision: string) => {
      const { status, stderr } = raad(...small, precision);
      expect(status, stderr).toBe(0);
      const { predictions } = JSON.parse(readFileSync(at('halves.json'), 'utf8'));
      return predictions as { precision: string; imagesPerSecond: number }[];
    };
    const [[floats], [words, matrices]] = [read('f32'), read('f16')];
    expect([floats, words, matrices].map((each) => each!.precision)).toEqual(['f32', 'f16', 'f16']);
    expect(words!.imagesPerSecond).toBeGreaterThan(floats!.imagesPerSecond);
    expect(matrices!.imagesPerSecond).toBeGreaterThan(words!.imagesPerSecond);
  });

  test('refuses what it cannot use', () => {
    writeFileSync(at('empty.json'), '{}');
    expectRefusal(['estimate', '--precision', 'f8'], /f8 is not known. Use one of: f32, f16/, 2);
    expectRefusal(['estimate', '--card', 'abacus'], /abacus is not known/, 2);
    expectRefusal(['estimate', '--bits', 'none,9'], /9 does not exist/, 2);
    expectRefusal(['estimate', '--resolution', '100'], /resolution 100 cannot be used/);
    expectRefusal(['estimate', '--measured', 'empty.json'], /empty.json has no usable value at (the top|dispatches)/);
    expectRefusal(['estimate', '--into', 'empty.json'], /no markers/);
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type CardFile, type CardStep, parseCard } from '../bench/card/format.ts';
import { cardsMarkdown } from '../bench/card/markdown.ts';
import { readCards } from '../bench/card/read.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const step = (result: unknown, more: Partial<CardStep> = {}): CardStep => ({
  command: 'node dist/cli.js some',
  seconds: 1,
  exit: 0,
  result,
  ...more,
});

const peerRow = (name: string, median: number, more = {}) => {
  return {
    name,
    median,
    p5: median / 2,
    p95: 2 * median,
    runs: 9,
    imagesPerSecond: 1000 / median,
    difference: 0,
    ...more,
  };
};

const torch = {
  device: 'Made-up 9000',
  torch: '9.9',
  rows: [
    { name: 'fp32 latency host to host', batch: 1, ms: 8, images_per_s: 125 },
    { name: 'fp32 device', batch: 1, ms: 6, images_per_s: 166.7 },
    { name: 'fp16 channels_last latency host to host', batch: 16, ms: 32, images_per_s: 500 },
    { name: 'training step fp32', batch: 4, ms: 80, images_per_s: 50 },
    { name: 'matmul torch.float32', tflops: 51.25 },
    { name: 'copy', gbps: 2500.4 },
  ],
};

const file: CardFile = {
  format: 'raad-card',
  version: 1,
  card: {
    name: 'Made-up 9000',
    kind: 'gpu',
    backend: 'vulkan',
    vendor: 'maker',
    architecture: 'a1',
    driver: 'Maker: 1.2',
  },
  date: '2030-01-31',
  steps: {
    doctor: step(
      {
        verdict: 'limited',
        full: true,
        cases: 12,
        rows: 3,
        variants: [
          { op: 'conv2d', variant: 'good', cases: 9, failed: 0, worst: 0.25, worstError: 1e-6, worstCase: 'large' },
          { op: 'conv2d', variant: 'bad', cases: 3, failed: 1, worst: null, worstError: 0.5, worstCase: 'small' },
        ],
        excluded: ['bad'],
        failures: [{ path: 'conv2d > bad', row: 'small', error: 0.5, message: 'wrong by 0.5' }],
        smoke: [{ name: 'training step', isRight: true, error: 1e-5, limit: 0.001 }],
      },
      { exit: 1 },
    ),
    tune: step(undefined, { exit: null, error: 'was stopped after 5 s', timedOut: true }),
    bench: step({
      versions: { 'raad-webgpu': '0.1.0', node: 'v20' },
      peaks: { f32GFlops: 50_000, f16GFlops: 0, dot4I8GOps: 90_000, copyGBs: 2000, dispatchUs: 2.5 },
      results: [
        {
          suite: 'networks',
          name: 'detector s 256 px x 1',
          'median ms': 3,
          'p95 ms': 3.5,
          'device ms': 2.4,
          'GFLOP/s': 25_000,
        },
        { suite: 'layers', name: 'teacher.conv1 tile', 'median ms': 0.012345, 'GB/s': 17 },
      ],
      protocol: [
        { name: 'image to map, batch 1', runs: 10, median: 2.5, p95: 4 },
        { name: 'images to maps, batch 16', runs: 1, median: 20, p95: 21 },
        { name: '16 images to maps, one by one, several in flight', runs: 1, median: 32, p95: 33 },
      ],
    }),
    'peers-detector': step({
      size: 's',
      side: 256,
      batch: 1,
      versions: { 'onnxruntime-node': '1.2.3' },
      rows: [
        peerRow('raad-webgpu', 4),
        peerRow('raad-webgpu w8a8', 2, { difference: 0.01 }),
        { name: 'onnxruntime-node webgpu', runs: 0, error: 'no adapter' },
      ],
    }),
    'peers-batch16': step({
      deviceErrors: ['too large\nthere'],
      size: 's',
      side: 256,
      batch: 16,
      rows: [peerRow('raad-webgpu', 64)],
    }),
    'peers-training': step({
      size: 's',
      side: 256,
      batch: 1,
      rows: [peerRow('raad-webgpu', 50), peerRow('tfjs webgpu', 125)],
    }),
    training: step({
      results: [{ suite: 'training', name: 'training step s 256 px x 4', 'median ms': 100, 'p95 ms': 101 }],
    }),
    dispatches: step({
      dispatches: [
        { name: 'teacher.conv1', runs: 10, median: 0.05, p95: 0.06, kernel: 'conv2d_tile.wgsl A=1' },
        { name: 'pad2d', runs: 10, median: 0.02, p95: 0.03, kernel: 'pad2d.wgsl' },
        {
          dispatch: 'map',
          kernel: 'combine',
          'median ms': 0.01,
          'p5 ms': 0.01,
          'p95 ms': 0.02,
          'bound by': 'memory',
          '% of bound': 25,
        },
      ],
    }),
    halves: step({ protocol: [{ name: 'a run, batch 1, on the device', runs: 1, median: 1.2, p95: 1.3 }] }),
    host: step({
      side: 256,
      dispatches: 41,
      host: [{ name: 'bare loop', median: 0.25, p95: 0.5 }],
      waited: [{ name: 'plan.run of an image', median: 1.5, p95: 2 }],
    }),
    estimate: step({
      predictions: [
        {
          bits: 32,
          machine: { name: 'Made-up 8000' },
          dispatches: [
            { label: 'teacher.conv1', milliseconds: 0.05, workMilliseconds: 0.04, bound: 'arithmetic' },
            { label: 'map', milliseconds: 0.03, workMilliseconds: 0.02, bound: 'launches' },
          ],
        },
      ],
    }),
    torch: step(torch, { command: 'python3 torch_anchor.py' }),
    batch16: { command: '', seconds: 0, exit: null, note: 'left out: no time was left' },
  },
};

test('the page of a card holds its figures and what follows from them', () => {
  const lines = cardsMarkdown([file]).split('\n');
  for (const line of [
    '## Made-up 9000',
    '| driver | Maker: 1.2 |',
    '| versions | raad-webgpu 0.1.0, node v20, onnxruntime-node 1.2.3, PyTorch 9.9 |',
    'Full check: **limited**. 12 cases of 2 variants on 3 shapes against a float64 reference, 1 wrong. Not used on this card: bad.',
    'training step of a whole network: right, error 1.0e-5, allowed 0.001.',
    '| conv2d > bad | small | wrong by 0.5 |',
    '| conv2d | good | 9 | 0 | 1.0e-6 | 25 % | large |',
    '| conv2d | bad | 3 | 1 | 5.0e-1 | – | small |',
    'PDN-S, 1 x 3 x 256 x 256.',
    '| raad-webgpu | 4 | 2 | 8 | 250 | 1 | 0.0e+0 |',
    '| raad-webgpu w8a8 | 2 | 1 | 4 | 500 | 0.5 | 1.0e-2 |',
    '| PyTorch fp32 latency host to host | 8 | – | – | 125 | 2 | – |',
    'onnxruntime-node webgpu: no adapter.',
    'The device reported: too large',
    'With 8-bit pixels as input, as `raad predict` has them: median 2.50 ms, p95 4.00 ms, 400 images/s.',
    'One by one with several under way (`stream`): 500 images/s.',
    'With the input on the card already, and the map left there:',
    '| raad-webgpu f16 | 1.20 | 833 | 0.5 |',
    'The detector of 41 dispatches at 256 px:',
    '| bare loop | 250 | 500 |',
    '| plan.run of an image | 1500 | 2000 |',
    '| raad-webgpu | 2.40 | 417 | 1 |',
    '| PyTorch fp32 device | 6 | 167 | 2.50 |',
    '| PyTorch fp16 channels_last latency host to host | 32 | – | – | 500 | 0.5 | – |',
    '| tfjs webgpu | 125 | 62.5 | 250 | 8 | 2.50 | 0.0e+0 |',
    '| PyTorch training step fp32 | 4 | 80 | – | 12.5 | 0.8 |',
    '| f32 multiply-add | 50 | TFLOP/s |',
    '| f16 multiply-add | not available | TFLOP/s |',
    '| PyTorch copy | 2500 | GB/s |',
    '3 dispatches, 0.08 ms together.',
    'Of 2 of them the time was predicted for Made-up 8000: 0.06 ms, measured were 0.06 ms, 1.00 times that.',
    '| teacher.conv1 | conv2d_tile | 0.05 | 0.04 | 1.25 | 0.06 | arithmetic | – | – |',
    '| pad2d | pad2d | 0.02 | – | – | 0.03 | – | – | – |',
    '| map | combine | 0.01 | 0.02 | 0.5 | 0.02 | launches | memory | 25 |',
    '| teacher.conv1 tile | 0.0123 | 17 |',
    '* tune failed: was stopped after 5 s.',
    '* batch16 was left out: no time was left.',
  ])
    expect(lines).toContain(line);
});

test('without predictions there is no column for them, and missing steps leave nothing', () => {
  const dispatches = step({ dispatches: [{ name: 'map', runs: 1, median: 1.5, p95: 2, kernel: 'combine' }] });
  const text = cardsMarkdown([{ ...file, steps: { dispatches } }]);
  expect(text).toContain('| name | kernel | median ms | p95 ms |');
  expect(text).not.toMatch(/predicted|Training|Detector, /);
  for (const result of [undefined, null, 7, [], [1], { rows: 3 }, { rows: [{}] }, { results: [null] }]) {
    const steps = Object.fromEntries(Object.keys(file.steps).map((name) => [name, step(result)]));
    expect(cardsMarkdown([{ ...file, steps }])).toContain('## Made-up 9000');
  }
});

test('docs/gpu.md says what the measured cards say', () => {
  const cards = readCards(join(root, 'bench/results'));
  expect(readFileSync(join(root, 'docs/gpu.md'), 'utf8')).toBe(cardsMarkdown(cards));
  expect(() => parseCard('{"format":"other"}', 'a.json')).toThrow(/a\.json is not a measured card/);
});

test('what a card from somebody else says is text', () => {
  const hostile = '<img src=x>|`\n# a';
  const page = cardsMarkdown([
    {
      format: 'raad-card',
      version: 1,
      card: { name: hostile, driver: hostile },
      date: '2030-01-31',
      steps: {
        doctor: {
          command: hostile,
          seconds: 1,
          exit: 1,
          error: hostile,
          result: {
            verdict: hostile,
            cases: hostile,
            rows: hostile,
            excluded: [hostile],
            failures: [{ message: hostile }],
          },
        },
      },
    },
  ]);
  const outside = page.replace(/```sh\n[^\n]*\n```/g, '');
  expect(outside).not.toContain('<img');
  expect(page).not.toMatch(/^# a/m);
});

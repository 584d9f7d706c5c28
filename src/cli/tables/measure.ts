import { CARDS } from '../../bench/machines.ts';
import { BENCH_JSON, PRECISION, ROUNDS } from './options.ts';
import type { Command } from './table.ts';

const devices: Command = {
  name: 'devices',
  purpose: 'measure',
  summary: 'list the adapters, best first, and what they can do',
  synopsis: '',
  about: ['Lists the WebGPU adapters, best first, and what each can do, under --toggles where they are given.'],
  options: { json: { text: 'as JSON' } },
};

const doctor: Command = {
  name: 'doctor',
  purpose: 'measure',
  summary: 'verify every kernel on this adapter',
  synopsis: '',
  about: [
    "Verifies every variant of every op on this adapter against a float64 reference, then a whole network and a training step; measures the adapter's peaks. What is wrong is named and not used on this adapter and driver until a later check finds it right. Exit code 0 when everything is right, else 1.",
  ],
  options: {
    full: { text: 'every width of weights, and large shapes' },
    only: { value: 'OP,OP', text: 'these ops alone' },
    json: { value: 'FILE', text: 'the report' },
    'no-peaks': { text: 'checks only' },
  },
};

const tune: Command = {
  name: 'tune',
  purpose: 'measure',
  summary: 'time the kernels’ variants and keep the fastest',
  synopsis: '',
  about: [
    "Times the kernels' variants on this adapter and keeps the fastest for later runs. Let nothing else run meanwhile.",
  ],
  options: {
    size: { value: 'xs|s|m', text: 'network size', fallback: 'xs' },
    resolution: { value: 'PX', text: 'input side', fallback: '128' },
    batch: { value: 'N', text: 'images at once', fallback: '1' },
    bits: {
      value: 'LIST',
      text: 'detectors with weights of these widths too, such as 2..8; 8,4 by default, "none" for float alone',
    },
    activations: { value: '4|6|8|16|32', text: 'width of their activations', fallback: '8' },
    precision: {
      value: 'f32|f16',
      text: "what the float detector and the teacher keep between Winograd's transforms; choices for both are kept",
      fallback: 'f32',
    },
    training: { text: 'the training step too (batch 4 unless given)' },
    optimize: {
      value: 'speed|memory',
      text: 'what a choice is the least of: time, or bytes on the device and then time; the bytes of a detector are printed for both',
      fallback: 'speed',
    },
    optimise: { value: 'speed|memory', isHidden: true, text: 'the former spelling of --optimize' },
    again: { text: 'measure what is known, too' },
    export: { value: 'FILE', text: "write the choices there instead of the user's cache" },
    import: { value: 'FILE', text: 'take over choices from a file for this adapter, measure nothing' },
  },
};

const bench: Command = {
  name: 'bench',
  purpose: 'measure',
  summary: 'measure this adapter and what the kernels reach on it',
  synopsis: '[SUITE...]',
  about: [
    'Measures this adapter and what the kernels reach on it. Let nothing else run meanwhile. Lines say what bounds them (arithmetic, memory or launches) and how much of that ceiling they reach, by what is executed.',
    'Suites, networks by default:',
  ],
  words: {
    peak: 'the ceilings: f32 and f16 multiply-add, dot4I8Packed, copies, reads by size of the data, costs of a launch',
    layers: 'every convolution of the teacher by every variant',
    networks: 'teacher, student, autoencoder, detector: to the host, and on the device alone',
    training: 'one training step',
    protocol: "the field's own: latency from host image to map at batch 1, images per second at batch 16",
    dispatches: 'every dispatch of the detector by timestamp queries',
  },
  options: {
    size: { value: 'LIST', text: 'xs, s, m, or several one after the other such as xs,s', fallback: 'xs' },
    resolution: { value: 'LIST', text: 'input sides such as 128,256', fallback: '128' },
    batch: { value: 'LIST', text: 'images at once such as 1,16', fallback: '1' },
    ...ROUNDS,
    variants: { value: 'A,B', text: 'only these variants in the suite layers' },
    precision: {
      value: 'f32|f16',
      text: "what float networks keep between Winograd's transforms in all suites but training",
      fallback: 'f32',
    },
    weights: {
      value: 'N',
      text: 'protocol and dispatches with weights of N bits and 8-bit activations instead of floats',
    },
    isolated: { text: 'dispatches one by one instead of in their order' },
    json: BENCH_JSON,
    svg: { value: 'FILE', text: 'a bar chart' },
    trace: { value: 'FILE', text: 'the suite dispatches for chrome://tracing or Perfetto' },
    share: {
      value: 'FILE',
      text: "an anonymous JSON file to send to the authors: adapter and figures, nothing of you or your machine's name",
    },
  },
};

const benchKernels: Command = {
  name: 'bench kernels',
  purpose: 'measure',
  summary: 'compare variants of the convolutions on any shape',
  synopsis: 'NAMES',
  about: [
    'Variants of the convolutions conv2d, qconv2d or both (conv2d,qconv2d) on any shape, interleaved: time, GOP/s, GB/s, error against float64, share of the measured peak, bytes of weights in memory.',
  ],
  words: { conv2d: 'convolutions in floats', qconv2d: 'convolutions by weights of few bits' },
  options: {
    kernel: { value: 'NAMES', isHidden: true, text: 'the positional argument' },
    shape: {
      value: 'N,CI,H,W:CO,KH,KW[:stride,padding]',
      isRepeatable: true,
      text: 'may be repeated; large layers of PDN-S and PDN-XS by default',
    },
    bits: { value: 'LIST', text: "widths of qconv2d's weights, such as 2..8 or 4,8", fallback: '8,4' },
    activations: { value: 'LIST', text: "u8, u4, f16, f32: how qconv2d's input and result are stored", fallback: 'u8' },
    'group-size': { value: 'N', text: 'input channels that share a scale, a multiple of 4', fallback: 'all' },
    variants: { value: 'LIST', text: 'some of those of the package and of --variant-module', fallback: 'all' },
    precision: { value: 'f32|f16', text: 'f16: those that round to halves, too', fallback: 'f32' },
    ...ROUNDS,
    csv: { value: 'FILE', text: 'the table' },
    json: BENCH_JSON,
    svg: { value: 'FILE', text: 'a bar chart' },
  },
  formerly: { command: 'bench', option: 'kernel' },
};

const benchModels: Command = {
  name: 'bench models',
  purpose: 'measure',
  summary: 'time model files in turns',
  synopsis: 'MODEL...',
  about: ['Model files in turns, from image to map: times, bytes of the file and on the device.'],
  options: {
    model: { value: 'MODEL', isRepeatable: true, isHidden: true, text: 'a positional argument' },
    ...ROUNDS,
    precision: PRECISION,
    json: BENCH_JSON,
  },
  formerly: { command: 'bench', option: 'model' },
};

const estimate: Command = {
  name: 'estimate',
  purpose: 'measure',
  summary: 'predict times on a GPU that is not here',
  synopsis: '',
  about: [
    "Predicts what a detector takes on a GPU, dispatch by dispatch, from what its kernels execute and what the GPU's data sheet says; runs on no adapter. How, and how far to trust it: docs/kernels.md.",
  ],
  options: {
    card: { value: [...CARDS, 'all'].join('|'), text: 'the GPU', fallback: 'h100' },
    size: { value: 'xs|s|m', text: 'network size', fallback: 's' },
    resolution: { value: 'PX', text: 'input side', fallback: '256' },
    batch: { value: 'N', text: 'images at once', fallback: '1' },
    precision: {
      value: 'f32|f16',
      text: "what is kept between Winograd's transforms, in float: f16 by words and by subgroup matrices",
      fallback: 'f32',
    },
    bits: {
      value: 'LIST',
      text: 'none and widths of the weights, with 8-bit activations, such as none,8',
      fallback: 'none',
    },
    measured: { value: 'FILE', text: 'JSON of raad bench dispatches, to stand beside the prediction' },
    json: { value: 'FILE', text: 'every dispatch with its counts and times' },
    markdown: { text: 'the tables of docs/kernels.md' },
    into: { value: 'FILE', text: 'puts those tables between the markers of a Markdown file' },
  },
};

export const MEASURE: readonly Command[] = [devices, doctor, tune, bench, benchKernels, benchModels, estimate];

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { packOf } from '../scripts/packages.mjs';
import { untrainedDetector, untrainedQuantized } from '../src/bench/untrained.ts';
import type { Detector } from '../src/detector/detector.ts';
import { placeMap } from '../src/detectorOps/maps.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import type { Caps } from '../src/engine/caps.ts';
import { Engine } from '../src/engine/engine.ts';
import { input, type Node } from '../src/engine/graph.ts';
import { lower } from '../src/engine/lower.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { imageResize, rgbToPixels, rgbWords } from '../src/kernels/image.ts';
import { maximum } from '../src/kernels/maximum.ts';
import { Networks } from '../src/networks/networks.ts';
import { PRESETS, trainingGraph } from '../src/train/fit.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const networks = new Networks('s', 256);

/** A shader, and the snippets in it. */
function filesOf(file: string): string[] {
  const text = readFileSync(new URL(`../shaders/${file}`, import.meta.url), 'utf8');
  const snippets = Array.from(text.matchAll(/^\s*#include (\w+)/gm), ([, name]) => `snippets/${name}.wgsl`);
  return [file, ...snippets.flatMap(filesOf)];
}

/** The packs that a page fetches for graphs on a device. */
function packsOf(caps: Caps, graphs: readonly (readonly Node[])[]): string[] {
  const shaders = graphs.flatMap((roots) => {
    const outputs = Object.fromEntries(roots.map((node, i) => [`y${i}`, node]));
    return [...lower({ outputs }, { caps }).kernels.values()].map(({ kernel }) => kernel.shader.name);
  });
  return [...new Set(shaders.flatMap(filesOf).map(packOf))].sort();
}

function predictions(caps: Caps): Node[][] {
  const own = new Engine({ device: gpu.device, caps });
  const maps = (detector: Detector) => {
    const { studentTeacher, autoencoder, combined } = detector.fusedGraph(1);
    detector.destroy();
    return [studentTeacher, autoencoder, combined];
  };
  const { side, mapSide, mapGeometry } = networks;
  const bytes = input('bytes', [rgbWords(300 * 200)], 'u32');
  const place = { width: 300, height: 200, side, placement: 'exact', ...mapGeometry } as const;
  const graphs = [
    maps(untrainedDetector(own, networks)),
    maps(untrainedQuantized(own, networks, { weights: 8, activations: 8 })),
    [
      imageResize(rgbToPixels(bytes, 200, 300), side, side),
      maximum(placeMap(input('map', [1, 1, mapSide, mapSide]), place)),
    ],
  ];
  own.destroy();
  return graphs;
}

const GPU = maskCaps(gpu.caps, {
  isCpu: false,
  kind: 'gpu',
  subgroups: true,
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
});
const CPU = maskCaps(gpu.caps, { isCpu: true, subgroups: true, subgroupMinSize: 8, subgroupMaxSize: 8 });

test('a convolution on a GPU needs two packs', () => {
  const layers = ([3, 7] as const).map((k) =>
    conv2d(input('x', [1, 64, 56, 56]), input('w', [64, 64, k, k]), input('b', [64])),
  );
  expect(packsOf(GPU, [layers])).toEqual(['convolution', 'gpu-convolution']);
});

test('what a float and a quantized detector run on a GPU lies in six', () => {
  expect(packsOf(GPU, predictions(GPU))).toEqual([
    'common',
    'convolution',
    'gpu-convolution',
    'gpu-detector',
    'gpu-integers',
    'integers',
  ]);
});

test('and on a CPU adapter in others', () => {
  expect(packsOf(CPU, predictions(CPU))).toEqual(['common', 'convolution', 'cpu', 'cpu-integers', 'integers']);
});

test('training needs one more', () => {
  const { training, lossNodes } = trainingGraph(networks, PRESETS.quick);
  const step = [...lossNodes, ...training.gradients.values()];
  expect(packsOf(GPU, [step])).toEqual(['common', 'convolution', 'gpu-convolution', 'gpu-detector', 'training']);
});

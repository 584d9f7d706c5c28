import { join } from 'node:path';
import type { Dataset } from '../../src/data/dataset.ts';
import type { RgbImage } from '../../src/data/image.ts';
import type { Detector } from '../../src/detector/detector.ts';
import { nearestDistance } from '../../src/detectorOps/nearest.ts';
import type { Backbone } from '../../src/distill/examples.ts';
import { type TargetGrid, targetOf } from '../../src/distill/targets.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { input } from '../../src/engine/graph.ts';
import { evaluate, type Metrics } from '../../src/evaluation/evaluate.ts';
import { Resizer } from '../../src/imaging/pixels.ts';
import { conv2d } from '../../src/kernels/conv2d.ts';
import { MemoryBank } from '../../src/networks/memoryBank.ts';
import { loadImages, testSource } from '../../src/node/datasets.ts';
import { VECTORS } from '../../src/train/nearest.ts';
import { coresetOf, drawPatchVectors } from '../../src/train/patchVectors.ts';

export interface BackboneBankOptions {
  readonly engine: Engine;
  readonly backbone: Backbone;
  /** Channels that those of all layers are averaged to. */
  readonly channels: number;
  /** A memory bank of the teacher on the same data: the grid that maps lie on, and how they are placed. */
  readonly detector: Detector;
  readonly grid: TargetGrid;
  /** Paths of the good images that it remembers. */
  readonly train: readonly string[];
  readonly root: string;
  readonly dataset: Dataset;
  readonly seed: number;
  /** Of the same data set, for another seed. */
  readonly features: FeatureCache;
}

/** Features on the grid, and what they took, by the path of their image. */
export type FeatureCache = Map<string, { readonly values: Float32Array; readonly seconds: number }>;

/**
 * A memory bank (PatchCore, Roth et al. 2022) of a backbone's features in place of the teacher's: the same coreset, kernels and
 * metrics. The backbone runs in onnxruntime and sees the pixels that the teacher sees, enlarged to its own side.
 */
export async function evaluateBackboneBank(options: BackboneBankOptions): Promise<{
  readonly metrics: Metrics;
  readonly fitSeconds: number;
  readonly bytes: number;
  readonly multiplyAdds: number;
}> {
  const { engine, backbone, channels, detector, train, root, dataset, seed } = options;
  const grid = { ...options.grid, channels };
  const plane = grid.mapSide ** 2;
  const [down, up] = [new Resizer(engine, grid.side), new Resizer(engine, backbone.side)];
  let seconds = 0;
  const featuresOf = async (path: string, load: () => Promise<RgbImage>) => {
    let known = options.features.get(path);
    if (!known) {
      const started = performance.now();
      const seen = rgbOf(await down.resize(await load()), grid.side);
      const values = targetOf(await backbone.features(rgbOf(await up.resize(seen), backbone.side)), grid);
      known = { values, seconds: (performance.now() - started) / 1000 };
      options.features.set(path, known);
    }
    seconds += known.seconds;
    return known.values;
  };
  const learned = await loadImages(train, console.error);
  const { vectors, mean, std } = await drawPatchVectors({ images: learned.count, channels, plane, seed }, async (i) =>
    featuresOf(learned.paths[i]!, () => learned.image(i)),
  );
  const started = performance.now();
  const remembered = coresetOf(vectors, channels, VECTORS, seed);
  const count = remembered.length / channels;
  const bank = new MemoryBank(count, channels);
  const { weight, bias } = bank.convolution;
  weight.data = remembered;
  bank.settle();
  const x = input('x', [1, channels, grid.mapSide, grid.mapSide]);
  const products = conv2d(x, weight.node, bias.node, {}, 'memory');
  const plan = await engine.compile({
    outputs: { map: nearestDistance(x, products, { readsLike: 'memory' }, 'distance') },
  });
  const fitSeconds = seconds + (performance.now() - started) / 1000;
  // Maps are looked up by image, since the detector that places and scores them has made its own.
  const source = testSource(root, dataset);
  const maps = new Map<number, Float32Array>();
  let at = 0;
  const metrics = await evaluate({
    detector,
    source: {
      ...source,
      async load(index) {
        const loaded = await source.load(index);
        const features = await featuresOf(join(root, source.sample(index).name), async () => loaded.image);
        const values = features.map((value, i) => {
          const c = Math.floor(i / plane);
          return (value - mean[c]!) / std[c]!;
        });
        maps.set(index, (await plan.run({ x: values }, ['map']))['map'] as Float32Array);
        return loaded;
      },
    },
    postprocess() {
      const map = maps.get(at)!;
      maps.delete(at++);
      return map;
    },
  });
  plan.destroy();
  down.destroy();
  up.destroy();
  engine.release([weight, bias]);
  return {
    metrics: metrics.metrics,
    fitSeconds,
    bytes: 4 * (weight.data.length + bias.data.length),
    multiplyAdds: count * channels * plane,
  };
}

/** Pixels as bytes of red, green and blue. @param words [side, side], red in the lowest byte */
function rgbOf(words: Uint32Array, side: number): RgbImage {
  const data = new Uint8Array(3 * side * side);
  words.forEach((word, i) => {
    for (let c = 0; c < 3; c++) data[3 * i + c] = (word >> (8 * c)) & 255;
  });
  return { width: side, height: side, data };
}

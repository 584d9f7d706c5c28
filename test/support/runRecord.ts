import { GOOD } from '../../src/data/dataset.ts';
import { defectNames, renderSpecimen } from '../../src/data/synthetic/generate.ts';
import { Random } from '../../src/math/random.ts';
import { binaryMetrics } from '../../src/metrics/ranking.ts';
import { encodePng } from '../../src/node/images.ts';
import { overlayHeatmap } from '../../src/report/heatmap.ts';
import { type GalleryItem, type RunRecord, STEPS, type StepRecord } from '../../src/study/record.ts';

const KINDS = [GOOD, ...defectNames('bracket')];
const THRESHOLD = 0.9;
/** Different pictures of a gallery; its images share them. */
const SPECIMENS = 4;

export interface ExampleRun {
  readonly record: RunRecord;
  readonly pictures: Map<string, Uint8Array>;
}

/** A made-up run with pictures of generated parts. */
export async function exampleRun(images: number, side = 128): Promise<ExampleRun> {
  const kinds = Array.from({ length: images }, (_, i) => (i % 5 < 2 ? GOOD : KINDS[1 + (i % (KINDS.length - 1))]!));
  const pictures = new Map<string, Uint8Array>();
  const made = new Map<string, readonly [image: Uint8Array, heatmap: Uint8Array, mask: Uint8Array | undefined]>();
  const steps = STEPS.map((step, k) => exampleStep(step, kinds, k));
  const gallery: GalleryItem[] = [];
  for (const [i, defect] of kinds.entries()) {
    const key = `${defect}-${i % SPECIMENS}`;
    const files = made.get(key) ?? (await picturesOf(defect, i % SPECIMENS, side));
    made.set(key, files);
    const names = ['image', 'heatmap', 'mask'].map((kind) => `gallery/${i}-${kind}.png`);
    for (const [f, bytes] of files.entries()) if (bytes) pictures.set(names[f]!, bytes);
    const score = steps.at(-1)!.result.images[i]![1];
    gallery.push({
      name: `test/${defect}/${String(i).padStart(3, '0')}.png`,
      defect,
      score,
      isAnomalous: score > THRESHOLD,
      image: names[0]!,
      heatmap: names[1]!,
      mask: files[2] && names[2],
    });
  }
  const record: RunRecord = {
    format: 'raad-run',
    version: 1,
    set: 'bracket',
    seed: 3,
    settings: {
      fit: { size: 's', resolution: 256, iterations: 5000, batch: 4, learningRate: 1e-3, weightDecay: 1e-5 },
      recalibration: { iterations: 500 },
      scoring: { map: 'attention' },
      penalty: 'generated',
    },
    finished: '2026-03-04T05:06:07.000Z',
    versions: { 'raad-webgpu': '0.1.0', node: '20.19.0', webgpu: '0.6.2' },
    adapter: 'llvmpipe (LLVM 19.1.7, 256 bits)',
    trainImages: 180,
    heldOutImages: 20,
    allocation: exampleAllocation(),
    steps,
    gallery,
  };
  return { record, pictures };
}

function exampleStep(step: StepRecord['step'], kinds: readonly string[], k: number): StepRecord {
  const random = new Random(7);
  const shake = new Random(k);
  const images = kinds.map((defect) => {
    const center = defect === GOOD ? 0.55 : 0.9 + 0.12 * KINDS.indexOf(defect);
    const score = Math.exp(Math.log(center) + 0.28 * normal(random) + [0, 0.16, 0.05][k]! * normal(shake));
    return [defect, Number(score.toPrecision(7))] as const;
  });
  const binary = (chosen: typeof images) =>
    binaryMetrics(
      chosen.map(([, score]) => score),
      chosen.map(([defect]) => defect !== GOOD),
    );
  const image = binary(images);
  const overlap = (shift: number) => ({ metric: 'AU-PRO' as const, areas: [0.91 - shift, 0.72 - shift] });
  const loss = [0, 0.021, 0.004][k]!;
  const quantized = step !== 'float';
  const fpr = Array.from({ length: 1001 }, (_, i) => (i / 1000) ** 2);
  return {
    step,
    model: `${step}.safetensors`,
    result: {
      set: 'bracket',
      seed: 3,
      arm: quantized ? 'hqs' : 'float',
      recalibrated: step === 'recalibrated',
      id: `bracket/3/${['float', 'hqs', 'hqs+recalibrated'][k]}`,
      layout: 'mvtec-ad',
      metrics: {
        ...(image && { auroc: image.auroc, ap: image.ap }),
        pixelAuroc: 0.968 - loss,
        pixelAp: 0.541 - loss,
        overlap: 0.91 - loss,
        biasIndex: 0.213 + loss,
      },
      size: {
        weightBytes: quantized ? 2_066_432 : 10_731_520,
        averageBits: quantized ? 6.16 : 32,
        fileBytes: quantized ? 2_141_008 : 10_790_144,
      },
      timing: { milliseconds: quantized ? 456.2 - k : 808.4, floatMilliseconds: 808.4 + k },
      memoryBytes: quantized ? 24_600_000 : 61_200_000,
      bits: {},
      images,
      adapter: 'llvmpipe',
      seconds: 100,
    },
    metrics: {
      goodImages: kinds.filter((kind) => kind === GOOD).length,
      badImages: kinds.filter((kind) => kind !== GOOD).length,
      auroc: image?.auroc,
      image,
      pixel: undefined,
      overlap: overlap(loss),
      branches: { studentTeacher: undefined, autoencoder: undefined },
      verdicts: undefined,
      defects: KINDS.slice(1).map((defect, i) => ({
        defect,
        images: kinds.filter((kind) => kind === defect).length,
        auroc: binary(images.filter(([kind]) => kind === defect || kind === GOOD))?.auroc,
        overlap: overlap(loss + 0.03 * i),
      })),
    },
    curve: { fpr, overlap: fpr.map((x) => 1 - Math.exp(-x * (40 - 400 * loss))) },
    threshold: { value: THRESHOLD + 0.02 * (2 - k), alpha: 0.01, promised: 0.048, images: 20 },
  };
}

/** About normal: a sum of uniform numbers with variance 1. */
function normal(random: Random): number {
  return Array.from({ length: 12 }, () => random.uniform() - 0.5).reduce((a, b) => a + b);
}

function exampleAllocation(): RunRecord['allocation'] {
  const random = new Random(11);
  const layers = [1, 2, 3, 4].map((i) => `conv${i}`);
  const others = [...[1, 2, 3, 4, 5, 6].map((i) => `enc${i}`), ...[1, 2, 3, 4, 5, 6, 7, 8].map((i) => `dec${i}`)];
  return [
    ...layers.map((layer, i) => {
      const score = 0.62 + 0.08 * i + 0.02 * normal(random);
      const bits = ([4, 4, 6, 8] as const)[i]!;
      const names = [`teacher.${layer}`, `student.${layer}`];
      return { layer, names, score, low: score - 0.03, high: score + 0.04, bits, bytes: 40_000 * bits * (i + 1) };
    }),
    ...others.map((name, i) => {
      const layer = `autoencoder.${name}`;
      const missing = { score: Number.NaN, low: Number.NaN, high: Number.NaN };
      return { layer, names: [layer], ...missing, bits: 8 as const, bytes: 1_500 + 9_700 * (i % 5) };
    }),
  ];
}

async function picturesOf(defect: string, seed: number, side: number) {
  const { image, mask } = renderSpecimen('bracket', defect === GOOD ? undefined : defect, seed, side);
  const random = new Random(seed);
  const [x, y] = [side * random.uniform(), side * random.uniform()];
  const near = Float32Array.from({ length: side * side }, (_, i) => {
    const distance = Math.hypot((i % side) - x, Math.floor(i / side) - y);
    return 0.7 * Math.exp(-((distance / (0.12 * side)) ** 2)) + (mask?.[i] ? 0.9 : 0);
  });
  const heatmap = overlayHeatmap({ image, map: near, threshold: 0.6, low: 0, high: 1.2, mask });
  const gray = mask && new Uint8Array(3 * mask.length).map((_, i) => (mask[Math.floor(i / 3)] ? 255 : 0));
  return [
    await encodePng(image),
    await encodePng(heatmap),
    gray && (await encodePng({ width: side, height: side, data: gray })),
  ] as const;
}

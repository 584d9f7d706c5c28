import type { Precision } from '../engine/variants.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { type DetectorShape, detectorGraphs } from './detectorGraph.ts';
import { CARDS, MACHINES, type Machine, withMatrices } from './machines.ts';
import { operationsOf, type PredictedDispatch, predictDispatches, totalOf } from './predict.ts';

/** The batch that throughput is said for. */
export const THROUGHPUT_BATCH = 16;

/** What is predicted of a detector on one machine. */
export interface DetectorPrediction {
  readonly machine: Machine;
  readonly dispatches: readonly PredictedDispatch[];
  /** Milliseconds from pixels on the device to the map on the device, batch 1. */
  readonly latency: number;
  /** Images per second at {@link THROUGHPUT_BATCH}. */
  readonly imagesPerSecond: number;
}

/** Predictions for every machine. @param batch of the dispatches */
export function predictDetector(
  shape: DetectorShape,
  machines: readonly Machine[],
  batch = 1,
  precision: Precision = 'f32',
): DetectorPrediction[] {
  const graph = detectorGraphs(shape);
  return machines.map((machine) => {
    const at = (images: number) =>
      predictDispatches(
        { outputs: { combined: graph(images, machine.caps.limits.maxStorageBufferBindingSize) }, precision },
        machine,
      );
    const latency = totalOf(at(1)).milliseconds;
    const imagesPerSecond = (1000 * THROUGHPUT_BATCH) / totalOf(at(THROUGHPUT_BATCH)).milliseconds;
    return { machine, dispatches: at(batch), latency, imagesPerSecond };
  });
}

/** A measured dispatch. */
export interface MeasuredDispatch {
  readonly name: string;
  /** Milliseconds. */
  readonly median: number;
}

/** One row per dispatch, with what was measured of the dispatch of the same label beside it where there is such a thing. */
export function dispatchRows(dispatches: readonly PredictedDispatch[], measured: readonly MeasuredDispatch[] = []) {
  const left = [...measured];
  return dispatches.map((dispatch) => {
    const { label, shader, grid, work, milliseconds, workMilliseconds, bound, issueShare } = dispatch;
    const at = left.findIndex(({ name }) => name === label);
    const [found] = at < 0 ? [] : left.splice(at, 1);
    return {
      dispatch: label,
      kernel: shader.replace('.wgsl', ''),
      grid: grid.join('x'),
      workgroups: work.workgroups,
      Mop: operationsOf(work) / 1e6,
      'MB least': work.leastBytes / 1e6,
      'MB moved': (4 * (work.loads + work.stores)) / 1e6,
      'workgroup MB': (4 * (work.workgroupReads + work.workgroupWrites)) / 1e6,
      '% sums': 100 * issueShare,
      us: 1000 * milliseconds,
      bound: work.from === 'formula' ? bound : `${bound} (no formula)`,
      ...(measured.length > 0 && {
        'work us': 1000 * workMilliseconds,
        'measured us': found && 1000 * found.median,
        'measured / predicted': found && found.median / workMilliseconds,
      }),
    };
  });
}

/** Parts of a detector, by the labels of their dispatches; the first that fits. */
const PARTS: readonly (readonly [name: string, labels: RegExp])[] = [
  ['conv1 with its pool', /conv1\b|^avgPool2d/],
  ['conv2', /^(both|teacher|student)\.conv2/],
  ['conv3', /^(both|teacher|student)\.conv3/],
  ['conv4 and both distances', /^map\.(studentTeacher|autoencoder)|\.conv4|^standardize/],
  ['encoder', /\.enc\d|^pad2d/],
  ['decoder', /\.dec\d|\.resize\d/],
  ['pixels, combined map', /./],
];

function partOf(label: string): string {
  return PARTS.find(([, labels]) => labels.test(label))![0];
}

/** A row for every part of a detector and one for all of it: counts, then milliseconds and main bound on each machine. */
export function partRows(predictions: readonly DetectorPrediction[]): Record<string, string | number>[] {
  const [first] = predictions;
  if (!first) return [];
  const rowOf = (part: string, has: (dispatch: PredictedDispatch) => boolean) => {
    const total = totalOf(first.dispatches.filter(has));
    const times = predictions.map(({ machine, dispatches }) => {
      const { milliseconds, bound } = totalOf(dispatches.filter(has));
      return [machine.name, `${milliseconds.toFixed(2)} (${bound})`] as const;
    });
    return {
      part,
      dispatches: total.dispatches,
      Gop: (total.operations / 1e9).toFixed(2),
      MB: (total.leastBytes / 1e6).toFixed(0),
      ...Object.fromEntries(times),
    };
  };
  const parts = PARTS.map(([name]) => name).filter((name) =>
    first.dispatches.some(({ label }) => partOf(label) === name),
  );
  return [...parts.map((name) => rowOf(name, ({ label }) => partOf(label) === name)), rowOf('all', () => true)];
}

/** A row for every width: latency and throughput on each machine. */
export function totalRows(
  predictions: readonly {
    readonly bits: WeightBits | undefined;
    readonly note?: string;
    readonly of: readonly DetectorPrediction[];
  }[],
): Record<string, string | number>[] {
  return predictions.map(({ bits, note = '', of }) => ({
    detector: `${bits === undefined ? 'float' : `w${bits}a8`}${note}`,
    ...Object.fromEntries(
      of.map(({ machine, latency, imagesPerSecond }) => [
        machine.name,
        `${latency.toFixed(2)} ms, ${imagesPerSecond.toFixed(imagesPerSecond < 100 ? 1 : 0)} images/s`,
      ]),
    ),
  }));
}

/** A table in Markdown. */
export function markdownTable(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const line = (fields: readonly (string | number)[]) => `| ${fields.join(' | ')} |`;
  return [
    line(columns),
    `|${'---|'.repeat(columns.length)}`,
    ...rows.map((row) => line(columns.map((c) => row[c]!))),
  ].join('\n');
}

/** Around the generated tables of `docs/kernels.md`. */
const MARKERS = ['<!-- predictions: raad estimate --into FILE -->', '<!-- /predictions -->'] as const;

/** A text with the tables between its markers replaced, or undefined where it has no markers. */
export function withPredictions(text: string, predictions: string): string | undefined {
  const [start, end] = MARKERS.map((marker) => text.indexOf(marker)) as [number, number];
  if (start < 0 || end < start) return undefined;
  return text.slice(0, start) + predictions + text.slice(end + MARKERS[1].length);
}

/** The generated part of `docs/kernels.md`, markers included: the S detector at 256 px on the four cards. */
export function predictionsMarkdown(shape: Omit<DetectorShape, 'bits'> = { size: 's', side: 256 }): string {
  const machines = CARDS.map((card) => MACHINES[card]);
  const all = ([undefined, 8] as const).map((bits) => ({ bits, of: predictDetector({ ...shape, bits }, machines) }));
  const matrices = predictDetector({ ...shape, bits: 8 }, machines.map(withMatrices));
  const halves = predictDetector(shape, machines, 1, 'f16');
  const halfMatrices = predictDetector(shape, machines.map(withMatrices), 1, 'f16');
  const [float, integer] = all.map(({ of }) => markdownTable(partRows(of))) as [string, string];
  return [
    MARKERS[0],
    'Float, one image, milliseconds:',
    float,
    'Weights and activations of 8 bits:',
    integer,
    `Latency at batch 1, throughput at batch ${THROUGHPUT_BATCH}:`,
    markdownTable(
      totalRows([
        ...all,
        { bits: 8, note: ' by subgroup matrices', of: matrices },
        { bits: undefined, note: ' with halves', of: halves },
        { bits: undefined, note: ' with halves by subgroup matrices', of: halfMatrices },
      ]),
    ),
    MARKERS[1],
  ].join('\n\n');
}

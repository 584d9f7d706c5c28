import type { RgbImage } from '../src/data/image.ts';
import type { Detector, Prediction } from '../src/detector/detector.ts';
import { heatmapRange } from '../src/detector/heatmapRange.ts';
import { loadDetector } from '../src/detector/modelFile.ts';
import { extent } from '../src/math/extent.ts';
import { sampleQuantile } from '../src/math/statistics.ts';
import { formatScore, overlayHeatmap } from '../src/report/heatmap.ts';
import { weightSize } from '../src/study/sizes.ts';
import { drawOn } from './canvas.ts';
import { engine } from './device.ts';
import { make, table } from './dom.ts';
import type { ModelFile } from './models.ts';
import type { TaskControl } from './task.ts';
import { showVerdict } from './viewer.ts';

/** A picture to compare on, and whether there is a defect in it, where that is known. */
export interface ComparedPicture {
  readonly name: string;
  readonly isDefective?: boolean;
  read(): Promise<RgbImage>;
}

interface ComparedModel extends ModelFile {
  readonly detector: Detector;
}

interface Result {
  readonly picture: ComparedPicture;
  readonly image: RgbImage;
  /** By model. */
  readonly predictions: readonly Prediction[];
  readonly milliseconds: readonly number[];
}

/**
 * Runs models on the same pictures, in turns, and shows their maps beside each other with sizes, times and differences.
 * @param files the first is what the others are held against
 * @returns what to show
 * @throws UserError for a model or picture that cannot be used
 */
export async function compare(
  files: readonly ModelFile[],
  pictures: readonly ComparedPicture[],
  control: TaskControl,
): Promise<HTMLElement[]> {
  const models: ComparedModel[] = [];
  try {
    for (const { name, bytes } of files) {
      control.progress(`Reading ${name}.`);
      const detector = await loadDetector(await engine(), bytes, { name, signal: control.signal });
      models.push({ name, bytes, detector });
    }
    const results = await runInTurns(models, pictures, control);
    return [summary(models, results), ...results.map((result) => row(models, result))];
  } finally {
    for (const { detector } of models) detector.destroy();
  }
}

async function runInTurns(
  models: readonly ComparedModel[],
  pictures: readonly ComparedPicture[],
  { signal, progress }: TaskControl,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [i, picture] of pictures.entries()) {
    progress(`Comparing on picture ${i + 1} of ${pictures.length}.`, i, pictures.length);
    const image = await picture.read();
    const predictions: Prediction[] = [];
    const milliseconds: number[] = [];
    for (const { detector } of models) {
      signal.throwIfAborted();
      // The first time compiles.
      await detector.predict(image);
      const start = performance.now();
      predictions.push(await detector.predict(image));
      milliseconds.push(performance.now() - start);
    }
    results.push({ picture, image, predictions, milliseconds });
  }
  return results;
}

function summary(models: readonly ComparedModel[], results: readonly Result[]): HTMLElement {
  const isKnown = results.some(({ picture }) => picture.isDefective !== undefined);
  const rows = models.map(({ name, bytes, detector }, m) => {
    const counted = (isDefective: boolean) => {
      const own = results.filter(({ picture }) => picture.isDefective === isDefective);
      return `${own.filter(({ predictions }) => predictions[m]!.isAnomalous === isDefective).length} of ${own.length}`;
    };
    return [
      name,
      (bytes.length / 1000).toFixed(0),
      weightSize(detector).averageBits.toFixed(1),
      sampleQuantile(
        results.map(({ milliseconds }) => milliseconds[m]!),
        0.5,
      ).toFixed(1),
      m === 0 ? '-' : `${(100 * Math.max(...results.map((result) => mapChange(result, m)))).toFixed(1)} %`,
      ...(isKnown ? [counted(false), counted(true)] : []),
    ];
  });
  const names = ['model', 'kB', 'bits of a weight', 'ms a picture', 'largest change of a map'];
  const found = isKnown ? ['good ones passed', 'defects found'] : [];
  return table('Models in comparison', [...names, ...found], rows, [1, 2, 3, 4, 5, 6]);
}

/** Largest difference from the first model's map where both look, as a share of its range. */
function mapChange({ predictions }: Result, m: number): number {
  const { map } = predictions[0]!;
  const other = predictions[m]!.map;
  const { low, high } = extent(map);
  const most = map.reduce((largest, value, i) => Math.max(largest, Math.abs(value - other[i]!) || 0), 0);
  return high > low ? most / (high - low) : 0;
}

/** A picture, and the maps of all models. */
function row(models: readonly ComparedModel[], { picture, image, predictions }: Result): HTMLElement {
  const plain = figure(image, `The picture ${picture.name}`, picture.name);
  const maps = models.map(({ name, detector }, m) => {
    const { score, map } = predictions[m]!;
    const { state } = detector;
    const verdict = make('strong', '');
    showVerdict(verdict, score, state.threshold?.value);
    const shown = overlayHeatmap({ image, map, ...heatmapRange(state) });
    const stem = name.replace(/\.safetensors$/, '');
    return figure(shown, `${picture.name}: heat map of ${name}`, `${stem}: ${formatScore(score)} `, verdict);
  });
  return make('div', 'row', plain, ...maps);
}

function figure(image: RgbImage, label: string, ...caption: (Node | string)[]): HTMLElement {
  const canvas = make('canvas', '');
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  drawOn(canvas, image);
  return make('figure', '', canvas, make('figcaption', '', ...caption));
}

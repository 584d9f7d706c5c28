import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { parse } from 'csv-parse/sync';
import { UserError } from '../../errors.ts';
import { EVERY_LAYER, type SensitivityMeasurement, sensitivity } from '../../evaluation/sensitivity.ts';
import { WEIGHT_BITS } from '../../formats/weightCodes.ts';
import { datasetFiles } from '../../node/datasets.ts';
import { readBytes, readText } from '../../node/files.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { studyDigest } from '../../node/study.ts';
import { ACTIVATION_BITS, type LayerPlan, quantizableLayers } from '../../quantization/bitPlan.ts';
import { RANGE_METHODS } from '../../quantization/ranges.ts';
import { barChart } from '../../report/barChart.ts';
import { toCsv } from '../../report/csv.ts';
import { metricsTable } from '../../report/table.ts';
import { type Arguments, readActivations, readWidths, UsageError } from '../arguments.ts';
import type { PlacedDataset } from '../datasets.ts';
import { assertFloat, openModel, openModelDataset, readModelFile } from '../modelData.ts';
import { printText, say } from '../print.ts';
import { inputFiles, withEngine } from '../withEngine.ts';

type Row = Readonly<Record<(typeof COLUMNS)[number], string>>;
const FIGURES = ['auroc', 'overlap', 'mapSnr'] as const;
/** `of` tells model, images and ranges. */
const COLUMNS = ['layer', 'weights', 'activations', ...FIGURES, 'of'] as const;

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model, folder] = args.positionals;
  if (!model || !folder)
    throw new UsageError('sensitivity needs a model and a data set.', 'raad sensitivity MODEL DATA');
  const bits = readWidths<LayerPlan['weights']>('bits', args.text('bits') ?? '8,7,6,5,4,3,2', [...WEIGHT_BITS, 16, 32]);
  const activations = readActivations(args, ACTIVATION_BITS);
  const method = args.choice('range', RANGE_METHODS);
  const state = await readModelFile(model);
  assertFloat(state, model);
  const layers = readLayers(args.text('layers'), [...quantizableLayers(state.networks).keys()]);
  const set = await openModelDataset(args, folder, state, signal);
  const csv = args.text('csv');
  const chart = args.text('chart');
  await assertOutputs([csv, chart], [model, ...datasetFiles(set), ...inputFiles(args)]);
  const of = csv ? await sourceOf(model, set, method) : '';
  const rows = csv && existsSync(csv) ? await readRows(csv, of) : [];
  await withEngine(args, async (engine) => {
    const { detector, data } = await openModel(engine, state, set);
    await sensitivity({
      detector,
      train: data.train,
      heldOut: data.heldOut,
      source: data.test,
      layers,
      bits,
      activations,
      method,
      isDone: (layer, weights) =>
        rows.some(
          (row) =>
            row.layer === layer &&
            row.weights === String(weights) &&
            (layer === 'none' || row.activations === String(activations)),
        ),
      async onMeasurement(measurement) {
        const row = toRow(measurement, of);
        rows.push(row);
        const figures = FIGURES.map((figure) => `${figure} ${row[figure]}`).join(', ');
        say(`${row.layer} w${row.weights}a${row.activations}: ${figures}`);
        if (csv) await writeAtomically(csv, toCsv(COLUMNS, rows));
      },
      signal,
    });
  });
  printText(metricsTable(rows.map(({ of: _, ...shown }) => shown)));
  if (chart) {
    const bars = rows.flatMap((row) =>
      row.auroc === '' ? [] : [{ label: `${row.layer} w${row.weights}a${row.activations}`, value: Number(row.auroc) }],
    );
    await writeAtomically(chart, barChart(bars, { title: `${set.dataset.name}: image AUROC`, unit: '%' }));
  }
}

/** What the figures depend on besides layer and widths. */
async function sourceOf(model: string, set: PlacedDataset, method = 'minmax'): Promise<string> {
  // What cannot be read is told when the images are opened.
  const digest = await studyDigest({ ...set, name: set.dataset.name }, () => {});
  const hash = createHash('sha256').update(await readBytes(model));
  return hash.update(`${digest} ${method}`).digest('hex').slice(0, 16);
}

/** @throws UserError for a file that is something else, or of another model */
async function readRows(csv: string, of: string): Promise<Row[]> {
  let rows: Row[];
  try {
    rows = parse(await readText(csv), { columns: true });
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${csv} is no table of raad sensitivity.`, 'Give --csv another file.');
  }
  if (rows.some((row) => row.of !== of))
    throw new UserError(
      `${csv} has figures of another model, other images or another --range.`,
      'Give --csv another file.',
    );
  return rows;
}

function toRow({ layer, weights, activations, auroc, overlap, mapSnr }: SensitivityMeasurement, of: string): Row {
  const percent = (value: number | undefined) => (value === undefined ? '' : (100 * value).toFixed(3));
  return {
    layer,
    weights: String(weights),
    activations: String(activations),
    auroc: percent(auroc),
    overlap: percent(overlap),
    mapSnr: mapSnr === undefined ? '' : mapSnr.toFixed(2),
    of,
  };
}

function readLayers(text: string | undefined, known: readonly string[]): string[] | undefined {
  if (text === undefined) return undefined;
  if (text === 'every') return [EVERY_LAYER];
  const names = text.split(',');
  const unknown = names.find((name) => !known.includes(name));
  if (unknown) throw new UsageError(`--layers names '${unknown}'.`, `Use "every" or some of ${known.join(', ')}.`);
  return names;
}

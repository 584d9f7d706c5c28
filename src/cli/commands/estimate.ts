import { CARDS, MACHINES, withMatrices } from '../../bench/machines.ts';
import { totalOf } from '../../bench/predict.ts';
import {
  dispatchRows,
  type MeasuredDispatch,
  partRows,
  predictDetector,
  predictionsMarkdown,
  THROUGHPUT_BATCH,
  totalRows,
  withPredictions,
} from '../../bench/predictTables.ts';
import type { Shape } from '../../checks/shape.ts';
import { fetchModules } from '../../engine/deferred.ts';
import { UserError } from '../../errors.ts';
import { WEIGHT_BITS } from '../../formats/weightCodes.ts';
import { parsePdnSize } from '../../networks/pdn.ts';
import { readBytes } from '../../node/files.ts';
import { readJson } from '../../node/jsonFile.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { metricsTable } from '../../report/table.ts';
import { type Arguments, readPrecision, readWidths, wholeNumber } from '../arguments.ts';
import { writeJson } from '../benchReport.ts';
import { printLine, printText } from '../print.ts';

/** `none` stands for float. */
function chosenBits(args: Arguments) {
  const names = (args.text('bits') ?? 'none').split(',');
  return names.flatMap((name) => (name === 'none' ? [undefined] : readWidths('bits', name, WEIGHT_BITS)));
}

const DISPATCHES: Shape = {
  fields: { dispatches: { list: { fields: { name: 'text', median: { from: 0, to: Number.MAX_VALUE } } }, atLeast: 1 } },
};

/** @throws UserError unless the file is a report of raad bench dispatches */
async function readMeasured(file: string): Promise<readonly MeasuredDispatch[]> {
  const fix = 'Make one with `raad bench dispatches --json FILE`.';
  const { dispatches } = await readJson<{ dispatches: readonly MeasuredDispatch[] }>(file, DISPATCHES, fix);
  return dispatches;
}

/** @throws UserError for a file without markers */
async function writeTables(file: string, tables: string): Promise<void> {
  const text = withPredictions(new TextDecoder().decode(await readBytes(file)), tables);
  if (text === undefined)
    throw new UserError(
      `${file} has no markers.`,
      'Put the first and last line of `raad estimate --markdown` into it.',
    );
  await writeAtomically(file, text);
}

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const card = args.choice('card', [...CARDS, 'all']) ?? 'h100';
  const size = parsePdnSize(args.text('size') ?? 's');
  const side = wholeNumber(args, 'resolution', 256, 1);
  const batch = wholeNumber(args, 'batch', 1, 1);
  const precision = readPrecision(args);
  const file = args.text('measured');
  const measured = file === undefined ? [] : await readMeasured(file);
  await fetchModules();
  const into = args.text('into');
  const json = args.text('json');
  await assertOutputs([json, into], [file]);
  if (into !== undefined) return writeTables(into, predictionsMarkdown({ size, side }));
  if (args.flag('markdown')) {
    printText(predictionsMarkdown({ size, side }));
    return;
  }
  const machines = card === 'all' ? CARDS.map((each) => MACHINES[each]) : [MACHINES[card]];
  const all = [];
  for (const bits of chosenBits(args)) {
    signal.throwIfAborted();
    const shape = { size, side, bits };
    if (precision === 'f32' || bits !== undefined) {
      all.push({ bits, note: '', of: predictDetector(shape, machines, batch) });
      continue;
    }
    all.push({ bits, note: ' with halves', of: predictDetector(shape, machines, batch, precision) });
    const units = machines.filter(({ matrixGOps }) => matrixGOps > 0).map(withMatrices);
    if (units.length > 0)
      all.push({
        bits,
        note: ' with halves by subgroup matrices',
        of: predictDetector(shape, units, batch, precision),
      });
  }
  for (const { bits, note, of } of all) {
    const name = `detector ${size} ${side} px x ${batch}, ${bits === undefined ? 'float' : `w${bits}a8`}${note}`;
    for (const { machine, dispatches } of of) {
      printLine('', `${name}, ${machine.name}`);
      printText(metricsTable(dispatchRows(dispatches, measured), { digits: 1 }));
    }
    printLine('', `${name}, milliseconds`);
    printText(metricsTable(partRows(of)));
  }
  printLine('', `latency at batch 1, throughput at batch ${THROUGHPUT_BATCH}`);
  printText(metricsTable(totalRows(all)));

  if (!json) return;
  const predictions = all.flatMap(({ bits, note, of }) =>
    of.map(({ machine, dispatches, latency, imagesPerSecond }) => ({
      bits: bits ?? 32,
      precision: note === '' ? 'f32' : precision,
      machine,
      latency,
      imagesPerSecond,
      total: totalOf(dispatches),
      dispatches: dispatches.map(({ node: _, ...each }) => each),
    })),
  );
  await writeJson(json, { settings: { size, resolution: side, batch }, predictions });
}

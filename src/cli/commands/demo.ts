import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GOOD } from '../../data/dataset.ts';
import { PART_NAMES } from '../../data/synthetic/generate.ts';
import { heatmapRange } from '../../detector/heatmapRange.ts';
import { loadDetector } from '../../detector/modelFile.ts';
import { UserError } from '../../errors.ts';
import type { EvaluatedImage } from '../../evaluation/evaluate.ts';
import { openDatasets } from '../../node/datasets.ts';
import { readBytes } from '../../node/files.ts';
import { isGenerated, writeInspectionSet } from '../../node/generated.ts';
import { encodePng, readImage } from '../../node/images.ts';
import { holdOutputs } from '../../node/lock.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { readTeacher } from '../../node/teachers.ts';
import { type ContactSheetRow, contactSheet } from '../../report/contactSheet.ts';
import { evaluationNotes, evaluationTable } from '../../report/summary.ts';
import { checkFitSettings, PRESETS } from '../../train/fit.ts';
import type { Arguments } from '../arguments.ts';
import { evaluateOne, evaluationOutputs } from '../evaluation.ts';
import { writeHeatmap } from '../heatmap.ts';
import { printLine, printText } from '../print.ts';
import { fitOne, trainingOutputs } from '../training.ts';
import { verdictOf } from '../verdict.ts';
import { withEngine } from '../withEngine.ts';

const SETTINGS = { ...PRESETS.quick, iterations: 150 };
const IMAGES = { train: 120, testGood: 20, testPerDefect: 5 };

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const part = args.choice('part', PART_NAMES) ?? 'biscuit';
  const settings = { ...SETTINGS, iterations: args.number('iterations') ?? SETTINGS.iterations };
  const out = args.text('out') ?? 'demo';
  const data = join(out, part);
  const model = join(out, `${part}.safetensors`);
  const [picture, sheet, results] = ['prediction.png', 'contact-sheet.png', 'results'].map((name) =>
    join(out, name),
  ) as [string, string, string];
  checkFitSettings(settings);
  const teacher = await readTeacher(settings.size);
  await assertOutputs([...trainingOutputs(model), picture, sheet, join(results, 'metrics.json')]);
  if (existsSync(model) && !(await isGenerated(data)))
    throw new UserError(`${model} is there already, and is not of a demo.`, 'Give --out another folder.');
  const count = await writeInspectionSet(
    data,
    { part, seed: 1, ...IMAGES },
    { replace: 'generated', onImage: () => signal.throwIfAborted() },
  );
  printLine(`${data}: ${count} generated images of part '${part}'`);
  const { root, datasets } = await openDatasets(data);
  const dataset = datasets[0]!;
  await assertOutputs(evaluationOutputs(results, dataset));
  await withEngine(args, async (_, session) => {
    await holdOutputs([model], () =>
      fitOne(args, { session, settings, root, dataset, output: model, teacher, signal }),
    );
    const { engine } = session;
    const shown: EvaluatedImage[] = [];
    const evaluation = await evaluateOne({ engine, file: model, root, dataset, signal }, results, (image) => {
      // Two of each kind are enough to look at.
      if (shown.filter(({ defect }) => defect === image.defect).length < 2) shown.push(image);
    });
    const sample = dataset.test.find(({ defect }) => defect !== GOOD)!;
    const detector = await loadDetector(engine, await readBytes(model), { name: model });
    const image = await readImage(join(root, sample.image));
    await writeHeatmap(picture, sample.image, image, await detector.predict(image), detector);
    const range = heatmapRange(detector.state);
    detector.destroy();
    await writeAtomically(
      sheet,
      await encodePng(contactSheet(shown.map(toRow), { ...range, heading: `generated part: ${part}` })),
    );
    printText(evaluationTable(evaluation));
    for (const line of evaluationNotes(evaluation)) printLine(line);
    printLine('', `model          ${model}`, `prediction     ${picture}`, `contact sheet  ${sheet}`);
  });
}

function toRow({ image, truth, prediction, name }: EvaluatedImage): ContactSheetRow {
  const { map, score } = prediction;
  const title = name.replace(/^test\//, '').replace(/\.[^.]+$/, '');
  return { image, map, score, title, verdict: verdictOf(prediction) ?? 'normal', mask: truth?.mask };
}

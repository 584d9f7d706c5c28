import { detectorName } from '../../bench/detectors.ts';
import { checkAlpha } from '../../detector/conformal.ts';
import { saveDetector } from '../../detector/modelFile.ts';
import { quantize } from '../../detector/quantize.ts';
import type { Engine } from '../../engine/engine.ts';
import { WEIGHT_BITS } from '../../formats/weightCodes.ts';
import type { Networks } from '../../networks/networks.ts';
import { datasetFiles } from '../../node/datasets.ts';
import { readText } from '../../node/files.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import {
  ACTIVATION_BITS,
  type ActivationBits,
  type BitPlan,
  type LayerPlan,
  parseBitPlan,
  uniformPlan,
} from '../../quantization/bitPlan.ts';
import { RANGE_METHODS } from '../../quantization/ranges.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { printGains } from '../gains.ts';
import { assertFloat, openModel, openModelDataset, readModelFile } from '../modelData.ts';
import { PhaseReport } from '../phaseReport.ts';
import { printLine } from '../print.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

const USAGE = 'raad quantize MODEL --bits 8 --calibrate DATA -o OUT.safetensors';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model] = args.positionals;
  const output = args.text('output');
  if (!model || !output) throw new UsageError('quantize needs a model file and -o.', USAGE);
  if ((args.text('bits') === undefined) === (args.text('plan') === undefined))
    throw new UsageError('quantize needs either --bits or --plan.', USAGE);
  if (!args.text('calibrate') && !args.text('good')) throw new UsageError('quantize needs --calibrate DATA.', USAGE);
  const alpha = args.number('alpha');
  checkAlpha(alpha);
  const state = await readModelFile(model);
  assertFloat(state, model);
  const plan = await readPlan(args, state.networks);
  const set = await openModelDataset(args, args.text('calibrate'), state, signal);
  await assertWritable(output, [model, args.text('plan'), ...datasetFiles(set), ...inputFiles(args)]);
  const method = args.choice('range', RANGE_METHODS);
  await withEngine(args, async (engine) => {
    const { detector, data } = await openModel(engine, state, set);
    const report = new PhaseReport();
    try {
      const quantized = await quantize({
        detector,
        plan,
        train: data.train,
        heldOut: data.heldOut,
        method,
        alpha,
        onProgress: (progress) => report.show(progress),
        onNotice: notice,
        signal,
      });
      const bytes = await saveDetector(quantized);
      await writeAtomically(output, bytes);
      report.stop();
      const { threshold } = quantized.state;
      printLine(`${output}: ${bytes.length} bytes, threshold ${threshold!.value.toFixed(4)}`);
      await printGains(quantized, detector, { isTimed: args.flag('time'), signal });
      const kind = args.text('plan') ? 'w8a8' : `w${args.text('bits')}a${args.text('activations') ?? 8}`;
      adviseOnSpeed(engine, detector.state.networks, kind);
    } finally {
      report.stop();
    }
  });
}

/** Says so where measurements on this adapter speak against quantizing for speed. */
function adviseOnSpeed({ tuning }: Engine, networks: Networks, kind: string): void {
  const [float, integer] = ['float', kind].map((name) => tuning.time(detectorName(networks, 1, name)));
  if (float !== undefined && integer !== undefined && integer > float) {
    notice(
      `\`raad tune\` measured ${integer.toPrecision(3)} ms for ${kind} and ${float.toPrecision(3)} ms for float on this adapter: the model saves memory here, not time.`,
    );
  }
}

async function readPlan(args: Arguments, networks: Networks): Promise<BitPlan> {
  const file = args.text('plan');
  if (file !== undefined) {
    for (const name of ['activations', 'group']) {
      if (args.text(name) !== undefined) throw new UsageError(`--${name} does not go with --plan.`, 'Write it there.');
    }
    return parseBitPlan(await readText(file), networks);
  }
  const weights = args.number('bits')!;
  const activations = args.number('activations') ?? 8;
  const widths: readonly number[] = [...WEIGHT_BITS, 16, 32];
  if (!widths.includes(weights))
    throw new UsageError(`--bits ${weights} does not exist.`, `Use one of ${widths.join(', ')}.`);
  if (!ACTIVATION_BITS.includes(activations as ActivationBits))
    throw new UsageError(`--activations ${activations} does not exist.`, `Use one of ${ACTIVATION_BITS.join(', ')}.`);
  const group = args.number('group');
  const layer = {
    weights: weights as LayerPlan['weights'],
    activations: activations as ActivationBits,
    range: args.flag('dynamic') ? ('dynamic' as const) : undefined,
  };
  const plan = uniformPlan(networks, layer);
  if (group === undefined) return plan;
  // Layers with other channel counts, such as the first one, keep a scale per output channel.
  const layers = Object.fromEntries(
    Object.entries(plan.layers).map(([name, each]) => {
      const grouped = { ...plan, layers: { [name]: { ...each, granularity: { groupSize: group } } } };
      try {
        return Object.entries(parseBitPlan(JSON.stringify(grouped), networks).layers)[0]!;
      } catch {
        return [name, each] as const;
      }
    }),
  );
  return { ...plan, layers };
}

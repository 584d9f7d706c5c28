import { detectorName, timeDetectors } from '../../bench/detectors.ts';
import { untrainedDetector, untrainedQuantized } from '../../bench/untrained.ts';
import type { Detector } from '../../detector/detector.ts';
import { deviceBytes, leastMemory } from '../../engine/deviceBytes.ts';
import type { Engine } from '../../engine/engine.ts';
import { input, type Node } from '../../engine/graph.ts';
import { spin } from '../../engine/sample.ts';
import { standalone, type TuneProgress, tune } from '../../engine/tune.ts';
import { adapterIdentity, Tuning } from '../../engine/tuning.ts';
import type { Precision } from '../../engine/variants.ts';
import { WEIGHT_BITS } from '../../formats/weightCodes.ts';
import { Networks } from '../../networks/networks.ts';
import { PDN_SIZES } from '../../networks/pdn.ts';
import { readText } from '../../node/files.ts';
import { assertOutputs, assertWritable, writeAtomically } from '../../node/output.ts';
import { loadTuning, saveTuning, tuningFile } from '../../node/tuning.ts';
import { ACTIVATION_BITS } from '../../quantization/bitPlan.ts';
import { cachesFeatures, PRESETS, trainingGraph } from '../../train/fit.ts';
import { type Arguments, readActivations, readPrecision, readWidths, wholeNumber } from '../arguments.ts';
import { printLine } from '../print.ts';
import { inputFiles, MEASURING, notice, withEngine } from '../withEngine.ts';

/** A graph whose nodes are tuned. */
interface Subject {
  readonly title: string;
  /** Timed as a whole, too. */
  readonly detector?: Detector;
  readonly outputs: Readonly<Record<string, Node>>;
  /** `f32` when absent. */
  readonly precision?: Precision;
}

const OBJECTIVES = ['speed', 'memory'] as const;

/** What is tuned. @throws UserError for choices that do not exist */
function readChoices(args: Arguments) {
  const bits = args.text('bits') ?? '8,4';
  return {
    networks: new Networks(args.choice('size', PDN_SIZES) ?? 'xs', args.number('resolution') ?? 128),
    batch: args.text('batch') === undefined ? undefined : wholeNumber(args, 'batch', 1, 1),
    widths: bits === 'none' ? [] : readWidths('bits', bits, WEIGHT_BITS),
    activations: readActivations(args, ACTIVATION_BITS),
    precision: readPrecision(args),
    optimize: args.choice('optimize', OBJECTIVES) ?? args.choice('optimise', OBJECTIVES) ?? 'speed',
    training: args.flag('training'),
  };
}

function subjects(
  { networks, batch, widths, activations, precision, training: isTraining }: ReturnType<typeof readChoices>,
  engine: Engine,
): Subject[] {
  const { side } = networks;
  const maps = (detector: Detector) => {
    const { studentTeacher, autoencoder, combined } = detector.fusedGraph(batch ?? 1);
    return { studentTeacher, autoencoder, combined };
  };
  const subject = (kind: string, detector: Detector): Subject => {
    return { title: detectorName(networks, batch ?? 1, kind), outputs: maps(detector), detector };
  };
  const list: Subject[] = [
    { ...subject(precision === 'f32' ? 'float' : precision, untrainedDetector(engine, networks)), precision },
    {
      title: 'teacher',
      outputs: { teacher: networks.teacher.forward(input('x', [batch ?? 1, 3, side, side])) },
      precision,
    },
    ...widths.map((weights) =>
      subject(`w${weights}a${activations}`, untrainedQuantized(engine, networks, { weights, activations })),
    ),
  ];
  if (isTraining) {
    const { training, lossNodes } = trainingGraph(
      networks,
      { ...PRESETS.quick, batch: batch ?? 4 },
      { cachesFeatures: cachesFeatures(engine) },
    );
    const gradients = [...training.gradients.values()];
    const outputs = Object.fromEntries([...lossNodes, ...gradients].map((node, i) => [`y${i}`, node]));
    list.push({ title: 'training step', outputs });
  }
  return list;
}

const TIMING = { rounds: 9, warmUp: 2 };
/** Milliseconds for which a GPU is kept busy before the first measurement. */
const WARM_UP = 200;

const megabytes = (bytes: number) => `${(bytes / 1e6).toPrecision(3)} MB`;

function show({ label, variant, times, failed, bytes, done, total }: TuneProgress): void {
  const list = Object.entries(times).sort(([, a], [, b]) => a - b);
  const text = list.map(([name, time]) => `${name} ${time.toPrecision(3)}`).join(', ');
  printLine(`${done}/${total} ${label}: ${variant}, ${megabytes(bytes[variant]!)}${text ? ` (ms: ${text})` : ''}`);
  for (const [name, reason] of Object.entries(failed)) notice(`${label}: ${name} is left out: ${reason}`);
}

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const given = args.text('import');
  const text = given === undefined ? undefined : await readText(given);
  if (text !== undefined) Tuning.parse(text);
  const target = args.text('export');
  await assertOutputs([target], [given, ...inputFiles(args)]);
  const choices = readChoices(args);
  await withEngine(
    args,
    async (engine: Engine) => {
      const { caps } = engine;
      if (target === undefined) await assertWritable(tuningFile(caps), [given]);
      const identity = adapterIdentity(caps);
      const tuning = await loadTuning(caps, notice);
      if (text !== undefined) {
        const imported = Tuning.parse(text, identity);
        imported.addMissing(tuning);
        printLine(`kept in ${await saveTuning(caps, imported)}`);
        return;
      }
      await spin(engine, WARM_UP);
      const graphs = subjects(choices, engine);
      try {
        for (const { title, outputs, precision = 'f32' } of graphs) {
          printLine(`${title}:`);
          const { optimize } = choices;
          await tune(engine, { outputs }, tuning, {
            again: args.flag('again'),
            optimize,
            precision,
            onProgress: show,
            signal,
          });
          const least = leastMemory(engine, { outputs }, precision, standalone);
          const bytes = (of: Tuning) => megabytes(deviceBytes({ outputs, tuning: of, precision }, engine));
          printLine(`${title}: ${bytes(tuning)} on the device, ${bytes(least)} with choices by memory`);
        }
        const whole = graphs.flatMap(({ title: name, detector, precision = 'f32' }) =>
          detector ? [{ name, detector, precision }] : [],
        );
        for (const { name, median } of await timeDetectors(engine, whole, choices.batch ?? 1, tuning, {
          ...TIMING,
          signal,
        })) {
          printLine(`${name}: ${median.toPrecision(3)} ms`);
        }
      } finally {
        if (target) await writeAtomically(target, tuning.text());
        printLine(`${tuning.size} choices in ${target ?? (await saveTuning(caps, tuning))}`);
      }
    },
    { toggles: MEASURING },
  );
}

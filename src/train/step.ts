import { DETECTOR_GRADIENT_RULES } from '../detectorOps/gradients.ts';
import { hardMean } from '../detectorOps/hardMean.ts';
import { input, type Node, Parameter } from '../engine/graph.ts';
import { gradient } from '../gradients/gradient.ts';
import { ADAM, type AdamAttrs, adam, type ScheduleAttrs, tick, trainingState } from '../kernels/adam.ts';
import { squaredDifference } from '../kernels/elementwise.ts';
import { quantile } from '../kernels/quantile.ts';
import { standardize } from '../kernels/standardize.ts';
import { mean } from '../kernels/sum.ts';
import type { Networks } from '../networks/networks.ts';

/** Share of elements below the hard loss's threshold (EfficientAD). */
export const HARD_QUANTILE = 0.999;

export const LOSS_NAMES = ['hard', 'penalty', 'autoencoder', 'studentAutoencoder'] as const;
export type LossName = (typeof LOSS_NAMES)[number];

export interface LossInputs {
  /** Normalized training images [N, 3, H, W]. */
  readonly images: Node;
  /**
   * The teacher's raw features of `images` [N, C, h, w], which are constant: computed once and cached. Absent: computed in every
   * step.
   */
  readonly teacherFeatures?: Node | undefined;
  /** Normalized natural images that the student must not imitate the teacher on. */
  readonly penalty: Node;
  /** Normalized training images after a color change. */
  readonly augmented: Node;
  /** Where dropout takes its random numbers from; absent: no dropout. */
  readonly dropout?: { readonly state: Node; readonly seed: number } | undefined;
}

export interface LossGraph {
  readonly losses: Readonly<Record<LossName, Node>>;
  /** Per-image quantile of the hard loss [N]. */
  readonly hardQuantile: Node;
}

/** The four losses of the training recipe (EfficientAD, section 3), each averaged over the batch. */
export function lossGraph(networks: Networks, inputs: LossInputs): LossGraph {
  const { teacher, student, autoencoder, channels, teacherMean, teacherStd } = networks;
  const firstHalf = { channels: { start: 0, count: channels } };
  const secondHalf = { channels: { start: channels, count: channels } };
  const normalized = (features: Node) => standardize(features, teacherMean.node, teacherStd.node);

  const teacherFeatures = inputs.teacherFeatures ?? teacher.forward(inputs.images);
  const distance = squaredDifference(normalized(teacherFeatures), student.forward(inputs.images, firstHalf));
  const hardQuantile = quantile(distance, HARD_QUANTILE, 'hardQuantile');

  const penaltyFeatures = student.forward(inputs.penalty, firstHalf);
  const zero = new Parameter('zero', penaltyFeatures.type);

  const reconstruction = autoencoder.forward(inputs.augmented, inputs.dropout);
  const target = normalized(teacher.forward(inputs.augmented));
  const imitation = student.forward(inputs.augmented, secondHalf);
  return {
    losses: {
      hard: hardMean(distance, hardQuantile, 'loss.hard'),
      penalty: mean(squaredDifference(penaltyFeatures, zero.node), 'loss.penalty'),
      autoencoder: mean(squaredDifference(target, reconstruction), 'loss.autoencoder'),
      studentAutoencoder: mean(squaredDifference(reconstruction, imitation), 'loss.studentAutoencoder'),
    },
    hardQuantile,
  };
}

export interface OptimizerOptions {
  readonly learningRate: number;
  /** Step from which the learning rate is a tenth. */
  readonly decayAt: number;
  /** @see ScheduleAttrs.cosine */
  readonly cosine?: ScheduleAttrs['cosine'] | undefined;
  readonly adam?: Partial<AdamAttrs> | undefined;
  /** Parameters without weight decay. */
  readonly withoutDecay?: ReadonlySet<Parameter> | undefined;
}

export interface Optimizer {
  readonly state: Parameter;
  /** First and second moments, in the order of the parameters. */
  readonly moments: readonly Parameter[];
  /** Gradients by parameter. */
  readonly gradients: ReadonlyMap<Parameter, Node>;
  /** Nodes that update state and parameters, in order. */
  readonly effects: readonly Node[];
}

/** One Adam step on the sum of the losses. */
export function optimizer(
  losses: readonly Node[],
  parameters: readonly Parameter[],
  options: OptimizerOptions,
  state = trainingState(),
): Optimizer {
  const attrs = { ...ADAM, ...options.adam };
  const nodes = gradient(
    losses,
    parameters.map((parameter) => parameter.node),
    DETECTOR_GRADIENT_RULES,
  );
  const moments: Parameter[] = [];
  const updates = parameters.map((parameter, i) => {
    const m = new Parameter(`adam.m.${parameter.name}`, parameter.type);
    const v = new Parameter(`adam.v.${parameter.name}`, parameter.type);
    moments.push(m, v);
    const own = options.withoutDecay?.has(parameter) ? { ...attrs, weightDecay: 0 } : attrs;
    return adam(parameter.node, m.node, v.node, nodes[i]!, state.node, own);
  });
  const { learningRate, decayAt, cosine } = options;
  const rates = { learningRate, decayAt, decay: 0.1, cosine };
  const advance = tick(state.node, { ...rates, beta1: attrs.beta1, beta2: attrs.beta2 });
  return {
    state,
    moments,
    gradients: new Map(parameters.map((p, i) => [p, nodes[i]!])),
    effects: [advance, ...updates],
  };
}

/** Inputs of a training step, with the shapes of one network and batch. */
export function stepInputs(networks: Networks, batch: number) {
  const { side, channels, mapSide } = networks;
  return {
    images: input('images', [batch, side, side], 'u32'),
    /** What is color-changed for the autoencoder, where it is not the same. */
    wholes: input('wholes', [batch, side, side], 'u32'),
    penalty: input('penalty', [batch, side, side], 'u32'),
    imageChange: input('imageChange', [batch, 2]),
    penaltyChange: input('penaltyChange', [batch, 2]),
    teacherFeatures: input('teacherFeatures', [batch, channels, mapSide, mapSide]),
  };
}

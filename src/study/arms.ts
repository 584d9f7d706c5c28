import type { AllocationMethod } from '../hqs/allocate.ts';

/** Scores of layers that arms go by; those of a set and seed are computed once. */
export const SCORE_KINDS = ['hqs', 'ompq'] as const;
export type ScoreKind = (typeof SCORE_KINDS)[number];

/** How an arm's bit plan comes about. */
export interface PlanRule {
  readonly scores: ScoreKind;
  readonly method: AllocationMethod;
  /**
   * `settings`: that of the study's allocation. `hqs`: at most the bytes of the arm `hqs`. `average`: the study's mean width.
   * `time`: the study's share of float's time.
   */
  readonly size: 'settings' | 'hqs' | 'average' | 'time';
}

/** What an arm of the experiment does to the float detector of a set and seed (RAAD, experiments). */
export interface ArmRule {
  /** Absent where the networks stay float. */
  readonly plan?: PlanRule;
  /** What HQS is compared with at equal size. */
  readonly isControl?: boolean;
  /** Filter of the map on the network's grid. */
  readonly postprocess?: 'blur' | 'locations';
  /** Exists trained on too: float with the same extra iterations, quantized recalibrated. */
  readonly isTrainedOn?: boolean;
  /** Trained on, it is also evaluated simulated in float: do the integer networks keep what was trained? */
  readonly isSimulated?: boolean;
}

const RULES = {
  float: { isTrainedOn: true },
  uniform: { plan: { scores: 'hqs', method: 'uniform', size: 'hqs' }, isControl: true, isTrainedOn: true },
  hqs: { plan: { scores: 'hqs', method: 'hqs', size: 'settings' }, isTrainedOn: true, isSimulated: true },
  reversed: { plan: { scores: 'hqs', method: 'reversed', size: 'hqs' }, isControl: true, isTrainedOn: true },
  ompq: { plan: { scores: 'ompq', method: 'ompq', size: 'hqs' }, isControl: true, isTrainedOn: true },
  random: { plan: { scores: 'hqs', method: 'random', size: 'hqs' }, isControl: true, isTrainedOn: true },
  budget: { plan: { scores: 'hqs', method: 'hqs', size: 'average' }, isTrainedOn: true, isSimulated: true },
  time: { plan: { scores: 'hqs', method: 'hqs', size: 'time' }, isTrainedOn: true },
  blur: { postprocess: 'blur' },
  locations: { postprocess: 'locations' },
} as const satisfies Readonly<Record<string, ArmRule>>;

/** The name of an arm of the study. */
export type Arm = keyof typeof RULES;

/** All arms, in the order in which they are run. */
export const ARMS = Object.keys(RULES) as readonly Arm[];

export function armRule(arm: Arm): ArmRule {
  return RULES[arm];
}

/** Whether an arm has a bit plan. */
export function isQuantizedArm(arm: Arm): boolean {
  return armRule(arm).plan !== undefined;
}

/** Scores that the bit plans of arms need: their own, and those of `hqs` where they are to be as small as it. */
export function scoresOf(arms: readonly Arm[]): readonly ScoreKind[] {
  const own = arms.flatMap((arm) => armRule(arm).plan ?? []);
  const needed = own.some(({ size }) => size === 'hqs') ? [...own, RULES.hqs.plan] : own;
  return SCORE_KINDS.filter((kind) => needed.some(({ scores }) => scores === kind));
}

/** The controls of HQS: first those that deal its own scores or widths out differently. */
export const CONTROLS: readonly Arm[] = SCORE_KINDS.flatMap((scores) =>
  ARMS.filter((arm) => armRule(arm).isControl && armRule(arm).plan?.scores === scores),
);

/** An arm before or after training on: what tables have a row of. */
export interface Treatment {
  readonly arm: Arm;
  readonly recalibrated: boolean;
}

/** All treatments of an arm. */
export function treatmentsOf(arm: Arm): Treatment[] {
  const each = { arm, recalibrated: false };
  return armRule(arm).isTrainedOn ? [each, { ...each, recalibrated: true }] : [each];
}

/** Name of a treatment in tables and cells: `hqs`, `hqs+recalibrated`. */
export function armName({ arm, recalibrated }: Treatment): string {
  return recalibrated ? `${arm}+recalibrated` : arm;
}

export function isSimulated({ arm, recalibrated }: Treatment): boolean {
  return recalibrated && armRule(arm).isSimulated === true;
}

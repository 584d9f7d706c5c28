import type { CellResult } from './cells.ts';
import {
  armName,
  type Comparison,
  compareArms,
  compareBias,
  depthCorrelation,
  distinct,
  isPlan,
  summariseArms,
} from './comparisons.ts';

/** The study's questions answered in sentences, each with the figures that it rests on; those without cells are left out. */
export function studyAnswers(results: readonly CellResult[]): string[] {
  return [
    depthAnswer(results),
    controlsAnswer(results, ''),
    controlsAnswer(results, '+recalibrated'),
    recalibrationAnswer(results),
    budgetAnswer(results),
    biasAnswer(results),
  ].flatMap((answer) => answer ?? []);
}

function signed(value: number): string {
  return `${value < 0 ? '' : '+'}${value.toFixed(2)}`;
}

function points({ difference, low, high }: Comparison): string {
  return `${signed(difference)} points [${signed(low)}, ${signed(high)}]`;
}

type Pair = readonly [a: string, b: string];

/** Mean differences of arms by data set, largest first: whether a mean over sets stands for all of them. */
function bySet(results: readonly CellResult[], pairs: readonly Pair[]) {
  const mean = (values: readonly number[]) => values.reduce((x, y) => x + y, 0) / values.length;
  const rows = distinct(results.map(({ set }) => set)).flatMap((set) => {
    const own = results.filter((result) => result.set === set);
    const differences = pairs.flatMap(([a, b]) =>
      own.flatMap((left) => {
        const right = own.find((result) => armName(result) === b && result.seed === left.seed);
        if (armName(left) !== a || right?.metrics.auroc === undefined || left.metrics.auroc === undefined) return [];
        return [100 * (left.metrics.auroc - right.metrics.auroc)];
      }),
    );
    return differences.length > 0 ? [{ set, difference: mean(differences) }] : [];
  });
  return rows.sort((a, b) => b.difference - a.difference);
}

/** Sets named one by one; more would hide the answer, and are in the tables. */
const FEW_SETS = 6;

function setsSentence(results: readonly CellResult[], pairs: readonly Pair[]): string {
  const rows = bySet(results, pairs);
  if (rows.length < 2 || rows.length > FEW_SETS) return '';
  return ` By data set: ${rows.map(({ set, difference }) => `${set} ${signed(difference)}`).join(', ')}.`;
}

function depthAnswer(results: readonly CellResult[]): string | undefined {
  const plans = results.filter(({ arm, recalibrated }) => arm === 'hqs' && !recalibrated).map(depthCorrelation);
  if (plans.length === 0) return undefined;
  const rising = plans.filter((value) => value > 0).length;
  const falling = plans.filter((value) => value < 0).length;
  const mean = plans.reduce((a, b) => a + b, 0) / plans.length;
  const word =
    rising === plans.length ? 'Yes' : rising > 2 * falling ? 'Mostly' : falling > rising ? 'No' : 'Not reliably';
  return `**Do deep layers get more bits?** ${word}: of ${plans.length} plans of HQS, ${rising} rise with depth, ${falling} fall, ${plans.length - rising - falling} do neither (mean rank correlation of depth and width ${mean.toFixed(2)}).`;
}

/** HQS against its controls at equal size. */
function controlsAnswer(results: readonly CellResult[], suffix: string): string | undefined {
  const list = ['uniform', 'reversed', 'random', 'ompq'].flatMap((control) => {
    return compareArms(results, `hqs${suffix}`, control + suffix) ?? [];
  });
  if (list.length === 0) return undefined;
  const beaten = list.filter(({ low }) => low > 0).length;
  const lost = list.filter(({ high }) => high < 0).length;
  const pairs = list.map(({ a, b }): Pair => [a, b]);
  const sets = bySet(results, pairs);
  const ahead = sets.filter(({ difference }) => difference > 0).length;
  const yes = ahead === sets.length ? 'Yes' : `In the mean, but on ${ahead} of ${sets.length} data sets only`;
  const word = beaten === list.length ? yes : beaten === 0 ? 'No' : `Only ${beaten} of ${list.length}`;
  const worse = lost > 0 ? ` and is worse than ${lost}` : '';
  const each = list.map((one) => `${one.b.replace('+recalibrated', '')} ${points(one)}`).join(', ');
  const when = suffix ? 'after recalibration' : 'before recalibration';
  return `**Does HQS beat its controls at equal size, ${when}?** ${word}${worse}. HQS minus the control in image AUROC: ${each}.${setsSentence(results, pairs)}`;
}

function recalibrationAnswer(results: readonly CellResult[]): string | undefined {
  const arms = distinct(results.map(armName)).filter((arm) => isPlan(arm) && arm.endsWith('+recalibrated'));
  const pairs = arms.flatMap((arm) => {
    const [gain, float] = [
      compareArms(results, arm, arm.replace('+recalibrated', '')),
      compareArms(results, arm, 'float+recalibrated'),
    ];
    return gain && float ? [{ gain, float }] : [];
  });
  if (pairs.length === 0) return undefined;
  const better = (key: 'gain' | 'float') => pairs.filter((pair) => pair[key].low > 0).length;
  const worse = (key: 'gain' | 'float') => pairs.filter((pair) => pair[key].high < 0).length;
  const mean = (key: 'gain' | 'float') =>
    signed(pairs.reduce((sum, pair) => sum + pair[key].difference, 0) / pairs.length);
  const n = pairs.length;
  return `**Does recalibration add anything?** Over the same plan without it: ${better('gain')} of ${n} plans gain and ${worse('gain')} lose (${mean('gain')} points on average). Over float networks trained on for the same iterations: ${better('float')} of ${n} are better and ${worse('float')} worse (${mean('float')} points on average).`;
}

function budgetAnswer(results: readonly CellResult[]): string | undefined {
  const comparison = compareArms(results, 'budget+recalibrated', 'float+recalibrated');
  const summary = summariseArms(results).find(({ arm }) => arm === 'budget+recalibrated');
  if (!comparison || summary?.smaller === undefined || summary.averageBits === undefined) return undefined;
  return `**What does a budget of ${summary.averageBits.toFixed(1)} bits cost?** At 1/${summary.smaller.toFixed(2)} of the bytes of float weights, recalibrated, against float with the same extra iterations: ${points(comparison)} of image AUROC.${setsSentence(results, [[comparison.a, comparison.b]])}`;
}

/** A bias index that falls by less than this share of itself is called about the same. */
const NOTICEABLE = 0.05;

function biasAnswer(results: readonly CellResult[]): string | undefined {
  const changes = ['float+recalibrated', 'hqs', 'hqs+recalibrated', 'locations'].flatMap(
    (arm) => compareBias(results, arm, 'float') ?? [],
  );
  const plans = changes.filter(({ arm }) => isPlan(arm));
  if (plans.length === 0) return undefined;
  const { before, after, fallen, pairs } = plans.at(-1)!;
  const fall = 1 - after / before;
  const word =
    Math.abs(fall) < NOTICEABLE ? 'Hardly' : fall < 0 ? 'No, it rises' : fallen === pairs ? 'Yes' : 'In the mean';
  const each = changes.map((change) => {
    const from = change.before === before ? '' : ` from ${change.before.toFixed(3)}`;
    return `${change.arm} ${change.after.toFixed(3)}${from} (lower in ${change.fallen} of ${change.pairs})`;
  });
  return `**Does the bias index fall?** ${word}. Float has ${before.toFixed(3)}; ${each.join(', ')}.`;
}

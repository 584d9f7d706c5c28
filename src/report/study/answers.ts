import { type Arm, armName, CONTROLS, isQuantizedArm, type Treatment } from '../../study/arms.ts';
import type { CellResult } from '../../study/cells.ts';
import {
  type Comparison,
  compareArms,
  compareBias,
  depthCorrelation,
  distinct,
  equalPlans,
  FEW_SETS,
  summarizeArms,
  treatmentsIn,
} from '../../study/comparisons.ts';

/** The study's questions answered in sentences, each with the figures that it rests on; those without cells are left out. */
export function studyAnswers(results: readonly CellResult[]): string[] {
  return [
    depthAnswer(results),
    controlsAnswer(results, false),
    controlsAnswer(results, true),
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

function setNames(comparisons: readonly Comparison[]): string[] {
  return distinct(comparisons.flatMap(({ sets }) => sets.map(({ set }) => set)));
}

/** Mean differences by data set, largest first: whether a mean over sets stands for all of them. */
function setsSentence(comparisons: readonly Comparison[]): string {
  const sets = setNames(comparisons);
  if (sets.length < 2 || sets.length > FEW_SETS) return '';
  const rows = sets.map((set) => {
    const own = comparisons.flatMap((comparison) => comparison.sets.filter((each) => each.set === set));
    return { set, difference: own.reduce((sum, each) => sum + each.difference, 0) / own.length };
  });
  rows.sort((a, b) => b.difference - a.difference);
  return ` By data set: ${rows.map(({ set, difference }) => `${set} ${signed(difference)}`).join(', ')}.`;
}

/** Data sets on which each comparison's interval lies above zero, of all. */
function setsBeaten(comparisons: readonly Comparison[]): readonly [beaten: number, all: number] {
  const sets = setNames(comparisons);
  const beaten = sets.filter((name) =>
    comparisons.every(({ sets: own }) => own.every(({ set, low }) => set !== name || low > 0)),
  );
  return [beaten.length, sets.length];
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

/** How often a control is no experiment of its own. */
function equalPlansSentence(results: readonly CellResult[]): string {
  const isControl = ({ arm, recalibrated }: CellResult) => !recalibrated && CONTROLS.includes(arm);
  const plans = results.filter(isControl).length;
  let [hqs, other] = [0, 0];
  for (const { arms } of equalPlans(results)) {
    const controls = arms.filter((arm) => CONTROLS.includes(arm)).length;
    if (arms.includes('hqs')) hqs += controls;
    // One of them is an experiment.
    else other += Math.max(0, controls - 1);
  }
  if (hqs + other === 0) return '';
  return ` Of the ${plans} control plans, ${hqs} ${hqs === 1 ? 'is' : 'are'} the plan of HQS and ${other} repeat another control's.`;
}

/** HQS against its controls at equal size. */
function controlsAnswer(results: readonly CellResult[], recalibrated: boolean): string | undefined {
  const name = (arm: Arm) => armName({ arm, recalibrated });
  const controls = CONTROLS.flatMap((control) => {
    const comparison = compareArms(results, name('hqs'), name(control));
    return comparison ? [{ control, comparison }] : [];
  });
  const list = controls.map(({ comparison }) => comparison);
  if (list.length === 0) return undefined;
  const beaten = list.filter(({ low }) => low > 0).length;
  const lost = list.filter(({ high }) => high < 0).length;
  const [sets, all] = setsBeaten(list);
  const yes = sets === all ? 'Yes' : `In the mean, but by itself on ${sets} of ${all} data sets only`;
  const word = beaten === list.length ? yes : beaten === 0 ? 'No' : `Only ${beaten} of ${list.length}`;
  const worse = lost > 0 ? ` and is worse than ${lost}` : '';
  const each = controls.map(({ control, comparison }) => `${control} ${points(comparison)}`).join(', ');
  const when = recalibrated ? 'after recalibration' : 'before recalibration';
  return `**Does HQS beat its controls at equal size, ${when}?** ${word}${worse}. HQS minus the control in image AUROC: ${each}.${setsSentence(list)}${equalPlansSentence(results)}`;
}

/** Name of an arm that was trained on. */
function trainedOn(arm: Arm): string {
  return armName({ arm, recalibrated: true });
}

/** Float networks trained on for as long as plans are recalibrated. */
const FLOAT = trainedOn('float');

function recalibrationAnswer(results: readonly CellResult[]): string | undefined {
  const plans = treatmentsIn(results).filter(({ arm, recalibrated }) => recalibrated && isQuantizedArm(arm));
  const pairs = plans.flatMap(({ arm }) => {
    const [gain, float] = [compareArms(results, trainedOn(arm), arm), compareArms(results, trainedOn(arm), FLOAT)];
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
  const comparison = compareArms(results, trainedOn('budget'), FLOAT);
  const summary = summarizeArms(results).find(({ arm }) => arm === trainedOn('budget'));
  if (!comparison || summary?.smaller === undefined || summary.averageBits === undefined) return undefined;
  return `**What does a budget of ${summary.averageBits.toFixed(1)} bits cost?** At 1/${summary.smaller.toFixed(2)} of the bytes of float weights, recalibrated, against float with the same extra iterations: ${points(comparison)} of image AUROC.${setsSentence([comparison])}`;
}

/** A bias index that falls by less than this share of itself is called about the same. */
const NOTICEABLE = 0.05;

function biasAnswer(results: readonly CellResult[]): string | undefined {
  const told: readonly Treatment[] = [
    { arm: 'float', recalibrated: true },
    { arm: 'hqs', recalibrated: false },
    { arm: 'hqs', recalibrated: true },
    { arm: 'locations', recalibrated: false },
  ];
  const compared = told.flatMap((treatment) => {
    const change = compareBias(results, armName(treatment), 'float');
    return change ? [{ treatment, change }] : [];
  });
  const changes = compared.map(({ change }) => change);
  const last = compared.findLast(({ treatment }) => isQuantizedArm(treatment.arm));
  if (!last) return undefined;
  const { before, after, fallen, pairs } = last.change;
  const fall = 1 - after / before;
  const word =
    Math.abs(fall) < NOTICEABLE ? 'Hardly' : fall < 0 ? 'No, it rises' : fallen === pairs ? 'Yes' : 'In the mean';
  const each = changes.map((change) => {
    const from = change.before === before ? '' : ` from ${change.before.toFixed(3)}`;
    return `${change.arm} ${change.after.toFixed(3)}${from} (lower in ${change.fallen} of ${change.pairs})`;
  });
  return `**Does the bias index fall?** ${word}. Float has ${before.toFixed(3)}; ${each.join(', ')}.`;
}

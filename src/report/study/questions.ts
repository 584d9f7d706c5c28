import { ARMS, armName, armRule, CONTROLS, isQuantizedArm, type Treatment } from '../../study/arms.ts';
import type { CellResult } from '../../study/cells.ts';
import { type Comparison, compareArms, treatmentsIn } from '../../study/comparisons.ts';

/** @param measured the treatments that have cells @returns what is compared with what */
type Pairs = (measured: readonly Treatment[]) => (readonly [Treatment, Treatment])[];

const FLOAT: Treatment = { arm: 'float', recalibrated: false };

/** Treatments of these among those that have cells. */
function among(measured: readonly Treatment[], wanted: readonly Treatment[]): Treatment[] {
  return wanted.filter((each) => measured.some((other) => armName(other) === armName(each)));
}

const QUESTIONS: readonly (readonly [title: string, pairs: Pairs])[] = [
  [
    'Does quantizing cost anything (before recalibration, against float)?',
    (measured) =>
      measured.filter(({ arm, recalibrated }) => isQuantizedArm(arm) && !recalibrated).map((each) => [each, FLOAT]),
  ],
  [
    'After recalibration, against float with the same extra iterations',
    (measured) =>
      measured
        .filter(({ arm, recalibrated }) => isQuantizedArm(arm) && recalibrated)
        .map((each) => [each, { ...FLOAT, recalibrated: true }]),
  ],
  [
    'Does recalibration help the same bit plan?',
    (measured) =>
      measured.filter(({ recalibrated }) => recalibrated).map((each) => [each, { ...each, recalibrated: false }]),
  ],
  [
    'Does HQS beat its controls at equal size?',
    (measured) =>
      [false, true].flatMap((recalibrated) =>
        among(
          measured,
          CONTROLS.map((arm) => ({ arm, recalibrated })),
        ).map((control): readonly [Treatment, Treatment] => [{ arm: 'hqs', recalibrated }, control]),
      ),
  ],
  [
    'Filters of the float map, against the plain one',
    (measured) =>
      among(
        measured,
        ARMS.filter((arm) => armRule(arm).postprocess).map((arm) => ({ arm, recalibrated: false })),
      ).map((filter) => [filter, FLOAT]),
  ],
];

/** Comparisons of a study, by question. */
export function studyComparisons(
  results: readonly CellResult[],
): { readonly question: string; readonly comparisons: readonly Comparison[] }[] {
  const measured = treatmentsIn(results);
  return QUESTIONS.map(([question, pairs]) => ({
    question,
    comparisons: pairs(measured).flatMap(([a, b]) => compareArms(results, armName(a), armName(b)) ?? []),
  })).filter(({ comparisons }) => comparisons.length > 0);
}

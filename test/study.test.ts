import { describe, expect, test } from 'vitest';
import { MapStatistics } from '../src/evaluation/bias.ts';
import { ARMS, type Arm, armName, CONTROLS, isQuantizedArm, scoresOf, treatmentsOf } from '../src/study/arms.ts';
import { studyBudget } from '../src/study/budget.ts';
import { cellId, type StudyCell, studyCells } from '../src/study/cells.ts';
import { PRESETS } from '../src/train/fit.ts';

test('the budget of a study counts what its cells train and run', () => {
  const counts = () => ({ train: 100, heldOut: 10, test: 50 });
  const cell = (arm: Arm, recalibrated: boolean) => ({ set: 'a', seed: 0, arm, recalibrated });
  const budget = (cells: StudyCell[], size: 'xs' | 's', isTrained = false) =>
    studyBudget(cells, { fit: { ...PRESETS.quick, size } }, counts, () => isTrained);
  const float = [cell('float', false)];
  // A training step of one image takes about 5.4 GFLOP for XS and 68 for S.
  expect(budget(float, 'xs').training / (600 * 4 * 5.4e9)).toBeCloseTo(1, 1);
  expect(budget(float, 's').training / (600 * 4 * 68e9)).toBeCloseTo(1, 1);
  expect(budget(float, 'xs', true)).toMatchObject({ training: 0, recalibration: 0 });
  const more = [...float, cell('hqs', true)];
  const [one, two] = [budget(float, 'xs'), budget(more, 'xs')];
  expect(two.training).toBe(one.training);
  expect(two.recalibration / one.training).toBeCloseTo(0.1, 10);
  // 100 images of the teacher, 10 and 2 x 50 of all networks against 100 of the teacher, 10 and 50 of all networks.
  expect(two.inference).toBeGreaterThan(2 * one.inference);
  expect(two.inference).toBeLessThan(3 * one.inference);
  expect(two.total).toBe(two.training + two.recalibration + two.inference);
});

test('arms say what they go by', () => {
  expect(CONTROLS).toEqual(['uniform', 'reversed', 'random', 'ompq']);
  expect(ARMS.filter((arm) => !isQuantizedArm(arm))).toEqual(['float', 'blur', 'locations']);
  expect(scoresOf(['float', 'blur'])).toEqual([]);
  expect(scoresOf(['budget', 'random'])).toEqual(['hqs']);
  // As small as the plan of hqs, whose scores that takes.
  expect(scoresOf(['ompq'])).toEqual(['hqs', 'ompq']);
  expect(treatmentsOf('hqs').map(armName)).toEqual(['hqs', 'hqs+recalibrated']);
  expect(treatmentsOf('locations').map(armName)).toEqual(['locations']);
});

test('cells of one set and seed follow each other and have names of their own', () => {
  const cells = studyCells(['a', 'b'], [0, 1]);
  const ids = cells.map(cellId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(cells.length).toBe(4 * (ARMS.length + 8));
  const groups = cells.map(({ set, seed }) => `${set}${seed}`);
  expect(groups.filter((group, i) => group !== groups[i - 1]).length).toBe(4);
});

describe('attention bias', () => {
  test('is 1 for equal maps, 0 where the mean is flat, between for both', () => {
    const equal = new MapStatistics();
    for (let i = 0; i < 3; i++) equal.add(Float32Array.of(1, 2, 3, 4));
    expect(equal.biasIndex).toBeCloseTo(1, 12);
    const flat = new MapStatistics();
    flat.add(Float32Array.of(1, -1, 1, -1));
    flat.add(Float32Array.of(-1, 1, -1, 1));
    expect(flat.biasIndex).toBe(0);
    const both = new MapStatistics();
    both.add(Float32Array.of(2, 0));
    both.add(Float32Array.of(0, 0));
    // Means 1 and 0: variance 1/4. All values 2, 0, 0, 0: variance 3/4.
    expect(both.biasIndex).toBeCloseTo(1 / 3, 12);
    expect(new MapStatistics().biasIndex).toBeUndefined();
  });
});

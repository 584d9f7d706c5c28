import { defectNames, type PartName, renderSpecimen } from '../src/data/synthetic/generate.ts';
import type { LessonOptions } from './learning.ts';
import type { Picture } from './pictures.ts';

const PART: PartName = 'biscuit';
const GOOD_PICTURES = 60;
const SIDE = 256;
/** Apart from those that are learned, which are numbered from 0. */
const FIRST_TESTED = 1000;
const TESTED_GOOD = 3;
const TESTED_PER_DEFECT = 2;

const generated = (name: string, defect: string | undefined, seed: number): Picture => ({
  name,
  read: async () => renderSpecimen(PART, defect, seed, SIDE).image,
});

/** A lesson on generated parts. */
export function demoLesson(iterations: number): LessonOptions {
  return {
    name: `generated ${PART}`,
    pictures: Array.from({ length: GOOD_PICTURES }, (_, i) => generated(`good ${i}`, undefined, i)),
    settings: { resolution: 128, iterations },
  };
}

/** Generated parts to inspect: good ones, then some of every defect. */
export function demoPictures(): Picture[] {
  const kinds = [
    ...Array.from({ length: TESTED_GOOD }, () => undefined),
    ...defectNames(PART).flatMap((defect) => Array.from({ length: TESTED_PER_DEFECT }, () => defect)),
  ];
  return kinds.map((defect, i) => generated(`${defect ?? 'good'} (${i + 1})`, defect, FIRST_TESTED + i));
}

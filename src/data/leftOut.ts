import { type Dataset, GOOD, type LeftOut } from './dataset.ts';
import { groupBy, isBad, lastPart, stem } from './names.ts';

/** Files that are named of each reason. */
const NAMED = 2;

/** `masks without an image: 3 (a.png, b.png, ...); of type .gif: 1 (c.gif)`, or `nothing`. */
export function leftOutText(leftOut: readonly LeftOut[]): string {
  const groups = groupBy(leftOut, ({ reason }) => reason);
  const texts = [...groups].map(([reason, files]) => `${reason}: ${files.length} (${someNames(files)})`);
  return texts.length === 0 ? 'nothing' : texts.join('; ');
}

function someNames(files: readonly { readonly path: string }[]): string {
  const names = files.slice(0, NAMED).map(({ path }) => path);
  return [...names, ...(files.length > NAMED ? ['...'] : [])].join(', ');
}

/** How many images a data set holds of each sort. */
export interface DatasetCounts {
  /** Good images to learn from, the validation split among them. */
  readonly learned: number;
  readonly testGood: number;
  readonly testBad: number;
  readonly kinds: readonly string[];
  /** Defective images with ground truth. */
  readonly masked: number;
  /** All good images; those that are both learned from and tested on count once. */
  readonly good: number;
}

export function countImages({ train, validation, test }: Dataset): DatasetCounts {
  const learned = new Set([...train, ...validation]);
  const good = test.filter(({ defect }) => defect === GOOD);
  const bad = test.filter(({ defect }) => defect !== GOOD);
  return {
    learned: learned.size,
    testGood: good.length,
    testBad: bad.length,
    kinds: [...new Set(bad.map(({ defect }) => defect))],
    masked: bad.filter(({ masks }) => masks.length > 0).length,
    good: learned.size + good.filter(({ image }) => !learned.has(image)).length,
  };
}

/** Images that cannot be read are left out as well. */
const unreadableReason = 'that cannot be read';

/**
 * One line about what is taken of a data set and what is not.
 * @param unreadable images whose headers cannot be read
 */
export function datasetLine(dataset: Dataset, unreadable: readonly LeftOut[] = []): string {
  const { learned, testGood, testBad, kinds, masked, good } = countImages(dataset);
  const split = learned > 0 && testGood > 0 && good === learned + testGood;
  const parts = [
    `${good} good${split ? ` (${learned} to learn from, ${testGood} to test)` : ''}`,
    `${testBad} bad of ${kinds.length} ${kinds.length === 1 ? 'kind' : 'kinds'}`,
    `masks for ${masked}`,
  ];
  const leftOut = [...(dataset.leftOut ?? []), ...unreadable.map(({ path }) => ({ path, reason: unreadableReason }))];
  return `${dataset.name}: ${parts.join(', ')}, left out: ${leftOutText(leftOut)}`;
}

/** What was assumed of a data set, a sentence each. */
export function datasetNotes(dataset: Dataset, resized: readonly string[] = []): string[] {
  const { name, layout, train, test } = dataset;
  const { learned, testBad, masked } = countImages(dataset);
  const notes: string[] = [];
  const folders = [...new Set(train.map((path) => path.split('/').slice(0, -1).join('/') || '.'))];
  if (layout === 'plain' && test.length === 0 && folders.length > 1)
    notes.push(`${name}: all ${learned} images of ${folders.length} folders are taken as good: ${some(folders)}.`);
  const suspicious = layout === 'plain' ? train.filter((path) => isCalledBad(lastPart(path))) : [];
  if (suspicious.length > 0)
    notes.push(`${name}: ${suspicious.length} images are called like defects and taken as good (${some(suspicious)}).`);
  const without = test.filter(({ defect, masks }) => defect !== GOOD && masks.length === 0);
  if (masked > 0 && without.length > 0) {
    const names = some(without.map(({ image }) => image));
    notes.push(
      `${name}: ${without.length} of ${testBad} defective images have no mask and are not in the pixel metrics (${names}).`,
    );
  }
  if (resized.length > 0)
    notes.push(`${name}: masks of ${resized.length} images are resized by a pixel of rounding (${some(resized)}).`);
  return notes;
}

/** What metrics a data set's test images cannot give, a sentence each. */
export function metricNotes(dataset: Dataset): string[] {
  const { name } = dataset;
  const { testGood, testBad, kinds, masked } = countImages(dataset);
  if (testBad === 0 && testGood > 0) return [`${name} has no defective test images: no AUROC and no AU-PRO.`];
  if (testBad > 0 && testGood === 0)
    return [`${name} has no good test images, only ${some(kinds)}: no AUROC. Good ones belong into test/good.`];
  return testBad > 0 && masked === 0 ? [`${name} has no masks: no pixel metrics and no AU-PRO.`] : [];
}

function some(names: readonly string[]): string {
  return someNames(names.map((path) => ({ path })));
}

/** Whether a part of a file's name means bad, as in `NG_3.png`. */
function isCalledBad(file: string): boolean {
  return stem(file)
    .split(/[\s_.-]+/)
    .some((part) => isBad(part));
}

import { checkSeed } from '../../checks/numbers.ts';
import { UserError } from '../../errors.ts';
import { Random } from '../../math/random.ts';
import type { RgbImage } from '../image.ts';
import { develop, expose, randomExposure } from './camera.ts';
import { differenceMask } from './mask.ts';
import { hash } from './noise.ts';
import type { Part } from './part.ts';
import { biscuit } from './parts/biscuit.ts';
import { bracket } from './parts/bracket.ts';
import { denim } from './parts/denim.ts';
import { Surface } from './surface.ts';

/** The parts that can be generated. */
export const PART_NAMES = ['bracket', 'biscuit', 'denim'] as const;
export type PartName = (typeof PART_NAMES)[number];

/** Hides a part's layout type, so that parts of different layouts fit one table. */
interface Renderer {
  readonly defects: readonly string[];
  render(defect: string | undefined, stream: number, size: number): Specimen;
}

/** One generated picture. */
export interface Specimen {
  readonly image: RgbImage;
  /** The same exposure of the same specimen before the defect; equals `image` where `mask` is 0. */
  readonly flawless: RgbImage;
  /** size x size, 255 where the defect visibly changed the picture, else 0; absent for a flawless specimen. */
  readonly mask?: Uint8Array;
}

/** A defect that does not show (a scratch along the brushing, say) is drawn again, this often at most. */
const ATTEMPTS = 24;

function renderer<Layout>(part: Part<Layout>): Renderer {
  return {
    defects: Object.keys(part.defects),
    render(name, stream, size) {
      const random = new Random(stream);
      const layout = part.layout(random);
      const exposure = randomExposure(random);
      const surface = new Surface(size);
      part.paint(surface, layout);
      const before = expose(surface, exposure);
      const flawless = { width: size, height: size, data: new Uint8Array(size * size * 3) };
      for (let pixel = 0; pixel < size * size; pixel++) develop(before, exposure, pixel, flawless.data);
      if (name === undefined) return { image: flawless, flawless };

      const defect = part.defects[name]!;
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const draw = new Random(hash(stream, attempt, 0xdefec7));
        const damaged = 'mark' in defect ? surface.clone() : new Surface(size);
        if ('mark' in defect) defect.mark(damaged, layout, draw);
        else part.paint(damaged, defect.reshape(layout, draw));
        const rows = damaged.changedRows(surface);
        if (rows === undefined) continue;
        // Relief reaches one row further through its slope, and blur another one.
        const from = Math.max(rows[0] - 2, 0);
        const to = Math.min(rows[1] + 3, size);
        const after = expose(damaged, exposure, from, to);
        const mask = differenceMask(before, after, size, from, to);
        if (mask === undefined) continue;
        // Changes too faint to see are left out, which makes the mask exact.
        const data = flawless.data.slice();
        for (let pixel = 0; pixel < mask.length; pixel++) {
          if (mask[pixel] !== 0) develop(after, exposure, pixel, data);
        }
        return { image: { width: size, height: size, data }, flawless, mask };
      }
      throw new Error(`defect ${name} stayed invisible in ${ATTEMPTS} attempts`);
    },
  };
}

const RENDERERS: Readonly<Record<PartName, Renderer>> = {
  bracket: renderer(bracket),
  biscuit: renderer(biscuit),
  denim: renderer(denim),
};

function rendererOf(part: PartName): Renderer {
  const found = Object.hasOwn(RENDERERS, part) ? RENDERERS[part] : undefined;
  if (found) return found;
  throw new UserError(`There is no generated part "${part}".`, `Use one of: ${PART_NAMES.join(', ')}.`);
}

/** Of one kind: more take days. */
const MOST_IMAGES = 1_000_000;

function requireCount(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= MOST_IMAGES) return;
  throw new UserError(
    `${name} is ${value}, which is not a number of images.`,
    `Give ${name} as an integer from 0 to ${MOST_IMAGES}.`,
  );
}

function requireSize(size: number): void {
  if (Number.isInteger(size) && size >= 64 && size <= 2048) return;
  throw new UserError(
    `The image size ${size} cannot be generated.`,
    'Use an integer from 64 to 2048; 256 suits most uses.',
  );
}

/** The defect kinds of a part, in the order in which they are generated. */
export function defectNames(part: PartName): readonly string[] {
  return rendererOf(part).defects;
}

/**
 * Renders one picture of a part, size x size, with the named defect or without. Equal arguments give equal bytes on
 * every machine.
 *
 * @throws UserError for an unknown part or defect, or a size outside 64..2048.
 */
export function renderSpecimen(part: PartName, defect: string | undefined, seed: number, size = 256): Specimen {
  const { defects, render } = rendererOf(part);
  requireSize(size);
  if (defect !== undefined && !defects.includes(defect)) {
    throw new UserError(`The part "${part}" has no defect "${defect}".`, `Use one of: ${defects.join(', ')}.`);
  }
  return render(defect, seed, size);
}

/** What a generated data set is of, and how many images it has. */
export interface InspectionSetOptions {
  readonly part: PartName;
  readonly seed: number;
  /** Side of the square pictures in pixels, default 256. */
  readonly size?: number;
  /** Flawless pictures for training. */
  readonly train: number;
  /** Flawless pictures for testing. */
  readonly testGood: number;
  /** Pictures of every defect kind for testing. */
  readonly testPerDefect: number;
}

/** A generated image, with its place in the data set. */
export interface InspectionSample {
  readonly split: 'train' | 'test';
  /** A name of `defectNames`, or `good`. */
  readonly defect: string;
  /** Number within its split and defect, from 0. */
  readonly index: number;
  readonly image: RgbImage;
  /** size x size, 255 on the defect and 0 elsewhere; absent for `good`. */
  readonly mask?: Uint8Array | undefined;
  /** Place in a tree laid out like MVTec AD, such as `test/scratch/000.png`. */
  readonly imagePath: string;
  /** Likewise for the mask, such as `ground_truth/scratch/000_mask.png`. */
  readonly maskPath?: string | undefined;
}

interface Place {
  readonly split: 'train' | 'test';
  readonly defect: string;
  readonly index: number;
  readonly group: number;
  readonly imagePath: string;
  /** Of defective pictures. */
  readonly maskPath?: string | undefined;
}

/** @throws UserError as {@link generateInspectionSet} does */
function* places({ part, size = 256, train, testGood, testPerDefect }: InspectionSetOptions): Generator<Place> {
  const { defects } = rendererOf(part);
  requireSize(size);
  requireCount('train', train);
  requireCount('testGood', testGood);
  requireCount('testPerDefect', testPerDefect);
  const sequences = [
    { split: 'train', defect: 'good', count: train },
    { split: 'test', defect: 'good', count: testGood },
    ...defects.map((defect) => ({ split: 'test', defect, count: testPerDefect }) as const),
  ] as const;
  for (const [group, { split, defect, count }] of sequences.entries()) {
    for (let index = 0; index < count; index++) {
      const stem = String(index).padStart(3, '0');
      const maskPath = defect === 'good' ? undefined : `ground_truth/${defect}/${stem}_mask.png`;
      const imagePath = `${split}/${defect}/${stem}.png`;
      yield { split, defect, index, group, imagePath, maskPath };
    }
  }
}

/** The paths of all images and masks of a generated data set, without rendering them. @throws UserError */
export function inspectionPaths(options: InspectionSetOptions): string[] {
  return [...places(options)].flatMap(({ imagePath, maskPath }) => (maskPath ? [imagePath, maskPath] : [imagePath]));
}

/**
 * Generates a data set for anomaly detection, picture by picture: `train/good`, then `test/good`, then the defects. Every
 * picture depends on the options' part, seed and size and on its own place alone, so sets of different counts agree where they overlap.
 *
 * @throws UserError for an unknown part, a count that is no natural number, a size outside 64..2048, or a seed that is no 32-bit word.
 */
export function generateInspectionSet(options: InspectionSetOptions): Generator<InspectionSample, void, undefined> {
  const { part, seed, size = 256 } = options;
  const { render } = rendererOf(part);
  checkSeed(seed);
  const all = [...places(options)];
  return (function* () {
    for (const { group, ...place } of all) {
      const { image, mask } = render(
        place.defect === 'good' ? undefined : place.defect,
        hash(place.index, group, seed),
        size,
      );
      yield { ...place, image, mask };
    }
  })();
}

import type { Shape } from '../../src/checks/shape.ts';
import { METHOD_NAMES, type Method } from '../methods.ts';

/** Good images above a threshold. */
export interface Rate {
  /** Rate asked for. */
  readonly alpha: number;
  /** Rate that the threshold promises. */
  readonly promised: number;
  /** Share of the good test images. */
  readonly seen: number;
}

/** One division of a set's good images. */
export interface Split {
  readonly set: string;
  /** How the detector was made. */
  readonly method: Method;
  /** `given`, or the seed of a random one. */
  readonly split: string;
  /** Good images that were judged. */
  readonly test: number;
  readonly rates: readonly Rate[];
}

/** What `npm run bench:false-alarms` writes. */
export interface FalseAlarms {
  readonly adapter: string;
  /** Side of the networks' input in pixels. */
  readonly resolution: number;
  readonly alphas: readonly number[];
  readonly splits: readonly Split[];
}

const SHARE: Shape = { from: 0, to: 1 };

export const FALSE_ALARMS: Shape = {
  fields: {
    adapter: 'text',
    resolution: 'number',
    alphas: { list: SHARE },
    splits: {
      list: {
        fields: {
          set: 'text',
          method: { oneOf: METHOD_NAMES },
          split: 'text',
          test: { least: 1, most: Number.MAX_SAFE_INTEGER },
          rates: { list: { fields: { alpha: SHARE, promised: SHARE, seen: SHARE }, exact: true } },
        },
        exact: true,
      },
    },
  },
  exact: true,
};

export const keyOf = ({ set, method, split }: Pick<Split, 'set' | 'method' | 'split'>) =>
  [set, method, split].join(' ');

/** The rates of a set and method for one promise over its random splits, and in the given one. */
export interface RateRow {
  readonly set: string;
  readonly method: Method;
  readonly splits: number;
  /** Good test images of a split. */
  readonly test: number;
  readonly promised: number;
  /** Mean over the random splits, and its standard error. */
  readonly mean: number;
  readonly error: number;
  readonly given: number | undefined;
}

/** A row for each method, set and rate that has random splits. */
export function rates({ splits, alphas }: Pick<FalseAlarms, 'splits' | 'alphas'>): RateRow[] {
  const sets = [...new Set(splits.map(({ set }) => set))];
  const pairs = METHOD_NAMES.flatMap((method) => sets.map((set) => ({ set, method })));
  return pairs.flatMap(({ set, method }) =>
    alphas.flatMap((_, a): RateRow[] => {
      const own = splits.filter((each) => each.set === set && each.method === method);
      const random = own.filter(({ split }) => split !== 'given');
      if (random.length < 2) return [];
      const seen = random.map((each) => each.rates[a]!.seen);
      const mean = seen.reduce((sum, value) => sum + value, 0) / seen.length;
      const variance = seen.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (seen.length - 1);
      return [
        {
          ...{ set, method },
          splits: random.length,
          test: random[0]!.test,
          promised: Math.max(...random.map((each) => each.rates[a]!.promised)),
          mean,
          error: Math.sqrt(variance / seen.length),
          given: own.find(({ split }) => split === 'given')?.rates[a]?.seen,
        },
      ];
    }),
  );
}

import type { Shape } from '../../src/checks/shape.ts';
import { PDN_SIZES, type PdnSize } from '../../src/networks/pdn.ts';

/** What a memory bank of a teacher's features reached on one data set. Metrics are in [0, 1]. */
export interface TeacherRow {
  readonly set: string;
  /** Side of the input in pixels. */
  readonly side: number;
  readonly size: PdnSize;
  /** `shipped`, `random`, or the name of a file. */
  readonly teacher: string;
  readonly auroc: number;
  /** AU-PRO below 30 % false positives. */
  readonly overlap?: number;
  readonly fitSeconds: number;
}

/** How a teacher was distilled. */
export interface DistillRun {
  /** As in {@link TeacherRow}. */
  readonly teacher: string;
  readonly size: PdnSize;
  /** Words of `raad distill` beside files. */
  readonly options: string;
  readonly minutes: number;
  readonly curve: readonly {
    readonly step: number;
    /** Mean since the point before. */
    readonly loss: number;
    readonly heldOutLoss: number;
    readonly explained: number;
  }[];
}

/** What `npm run bench:teachers` writes. */
export interface TeacherReport {
  readonly adapter: string;
  readonly rows: readonly TeacherRow[];
  readonly runs: readonly DistillRun[];
}

const SHARE: Shape = { from: 0, to: 1 };
const POSITIVE: Shape = { from: 0, to: Number.MAX_VALUE };
const COUNT: Shape = { least: 0, most: Number.MAX_SAFE_INTEGER };

export const TEACHERS: Shape = {
  fields: {
    adapter: 'text',
    rows: {
      list: {
        fields: {
          set: 'text',
          side: COUNT,
          size: { oneOf: PDN_SIZES },
          teacher: 'text',
          auroc: SHARE,
          overlap: { optional: SHARE },
          fitSeconds: POSITIVE,
        },
        exact: true,
      },
    },
    runs: {
      list: {
        fields: {
          teacher: 'text',
          size: { oneOf: PDN_SIZES },
          options: 'text',
          minutes: POSITIVE,
          curve: {
            list: { fields: { step: COUNT, loss: POSITIVE, heldOutLoss: POSITIVE, explained: 'number' }, exact: true },
          },
        },
        exact: true,
      },
    },
  },
  exact: true,
};

export const keyOf = ({ set, side, size, teacher }: Pick<TeacherRow, 'set' | 'side' | 'size' | 'teacher'>) =>
  [set, side, size, teacher].join(' ');

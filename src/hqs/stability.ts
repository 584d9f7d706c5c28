import type { Allocation, AllocationRow } from './allocate.ts';

/** An allocation from other images or another seed. */
export interface RepeatedAllocation {
  readonly name: string;
  readonly allocation: Allocation;
}

/** A layer that two allocations give different widths. */
export interface WidthDifference {
  readonly layer: string;
  readonly a: string;
  readonly b: string;
  readonly bits: readonly [a: AllocationRow['bits'], b: AllocationRow['bits']];
  /** Whether the bootstrap intervals of the layer's scores overlap: then chance alone may tell the widths apart. */
  readonly overlap: boolean;
}

/** Every layer and pair of allocations of the same networks whose widths differ. Layers without scores are left out. */
export function widthDifferences(allocations: readonly RepeatedAllocation[]): WidthDifference[] {
  return allocations.flatMap((first, i) =>
    allocations.slice(i + 1).flatMap((second) =>
      first.allocation.rows.flatMap((row): WidthDifference[] => {
        const other = second.allocation.rows.find(({ layer }) => layer === row.layer);
        if (!other || other.bits === row.bits || Number.isNaN(row.score) || Number.isNaN(other.score)) return [];
        return [
          {
            layer: row.layer,
            a: first.name,
            b: second.name,
            bits: [row.bits, other.bits],
            overlap: row.low <= other.high && other.low <= row.high,
          },
        ];
      }),
    ),
  );
}

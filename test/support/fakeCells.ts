import { type CellResult, cellId, type StudyCell } from '../../src/study/cells.ts';

/** A result that nobody measured. @param adapter tells who made it */
export function fakeResult(cell: StudyCell, adapter = 'fake'): CellResult {
  return {
    ...cell,
    id: cellId(cell),
    layout: 'plain',
    metrics: { auroc: 0.5 },
    size: { weightBytes: 1, averageBits: 32, fileBytes: 1 },
    timing: { milliseconds: 1, floatMilliseconds: 1 },
    memoryBytes: 1,
    bits: {},
    images: [['good', 0.5]],
    adapter,
    seconds: 1,
  };
}

import { describe, expect, test } from 'vitest';
import { compareResult, prepareCase } from '../src/doctor/check.ts';
import { rowPaths } from '../src/doctor/paths.ts';
import { table } from '../src/doctor/table.ts';
import { engine } from './gpu.ts';
import { isTested } from './planned.ts';

const gpu = await engine();

describe('what takes in what produces its input equals the float64 reference, bit for bit in every run', () => {
  for (const prepared of table.filter(({ absorbs }) => absorbs).map(prepareCase)) {
    const { name, absorbs } = prepared.row;
    test(name, async () => {
      const [path] = rowPaths(prepared, gpu, isTested);
      expect(path?.steps.at(-1)).toBe(`${absorbs!.op}/${absorbs!.variant}`);
      const plan = await gpu.compile({ outputs: { y: prepared.output }, variants: path!.variants });
      expect(plan.dispatches.filter(({ label }) => !/weights|packed/.test(label))).toHaveLength(absorbs!.dispatches);
      const { y } = await plan.run(prepared.data(), ['y']);
      const { y: again } = await plan.run(prepared.data(), ['y']);
      plan.destroy();
      const { isRight, message } = compareResult(prepared, y!);
      if (!isRight) expect.fail(message);
      expect(again).toEqual(y);
    });
  }
});

import { describe, expect, test } from 'vitest';
import { mapOf, stackMaps } from '../src/detectorOps/maps.ts';
import { compareResult, prepareCase } from '../src/doctor/check.ts';
import { rowPaths } from '../src/doctor/paths.ts';
import { randomValues, toHost } from '../src/doctor/values.ts';
import { evaluateReference, input, type Node, Parameter, type Values } from '../src/engine/graph.ts';
import { scale } from '../src/kernels/elementwise.ts';
import { detectorTable as table } from '../src/selfTest/table.ts';
import { toBeAllclose } from './support/close.ts';
import { engine } from './support/gpu.ts';
import { isTested } from './support/planned.ts';

const gpu = await engine();
const { caps, variants, excluded } = gpu;

describe('what takes in what produces its input equals the float64 reference, bit for bit in every run', () => {
  for (const prepared of table.filter(({ absorbs }) => absorbs).map(prepareCase)) {
    const { name, absorbs } = prepared.row;
    test(name, async () => {
      const [path] = rowPaths(prepared, { caps, variants, excluded, precision: 'f16' }, isTested);
      expect(path?.steps.at(-1)).toBe(`${absorbs!.op}/${absorbs!.variant}`);
      const { precision, rounding } = path!;
      const plan = await gpu.compile({ outputs: { y: prepared.output }, variants: path!.variants, precision });
      expect(plan.dispatches.filter(({ label }) => !/weights|packed|scale/.test(label))).toHaveLength(
        absorbs!.dispatches,
      );
      const { y } = await plan.run(prepared.data(), ['y']);
      const { y: again } = await plan.run(prepared.data(), ['y']);
      plan.destroy();
      const { isRight, message } = compareResult(prepared, y!, rounding);
      if (!isRight) expect.fail(message);
      expect(again).toEqual(y);
    });
  }
});

describe('a part of a value', () => {
  const quantiles = new Parameter('q', { shape: [4], dtype: 'f32' }, Float32Array.of(0.5, 1.5, 0.1, 3)).node;
  const maps = (side: number) => {
    const inputs = ['st', 'ae'].map((name) => input(name, [2, 1, side, side])) as [Node, Node];
    const values = new Map<Node, Values>(inputs.map((node, i) => [node, randomValues(node, 'normal', i)]));
    return { stack: stackMaps(...inputs, quantiles), values };
  };

  test('lies inside it: it can be read and be what a dispatch reads, and is none itself', async () => {
    const { stack, values } = maps(8);
    const outputs = { ae: mapOf(stack, 1), twice: scale(mapOf(stack, 2), 2) };
    const plan = await gpu.compile({ outputs });
    expect(plan.dispatches.map(({ node }) => node.op.name)).toEqual(['stackMaps', 'scale']);
    const data = Object.fromEntries([...values].map(([node, drawn]) => [node.label, toHost(drawn)]));
    const actual = await plan.run(data, ['ae', 'twice']);
    plan.destroy();
    const [ae, twice] = evaluateReference([outputs.ae, outputs.twice], values);
    expect(actual['ae']).toEqual(Float32Array.from(ae!));
    toBeAllclose(actual['twice'] as Float32Array, twice!, { relative: 1e-6 });
  });

  test('that begins where no binding can is refused as what a dispatch reads', async () => {
    const { stack } = maps(3);
    const compiled = gpu.compile({ outputs: { twice: scale(mapOf(stack, 1, 'second'), 2) } });
    await expect(compiled).rejects.toThrow('reads second, f32[2x1x3x3] inside another value; this adapter binds every');
  });
});

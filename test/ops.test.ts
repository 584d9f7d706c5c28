import { describe, expect, it } from 'vitest';
import { DETECTOR_GRADIENT_RULES } from '../src/detectorOps/gradients.ts';
import { compareResult } from '../src/doctor/check.ts';
import { pathName } from '../src/doctor/paths.ts';
import { randomValues } from '../src/doctor/values.ts';
import { evaluateReference, Parameter, size } from '../src/engine/graph.ts';
import { gradient } from '../src/gradients/gradient.ts';
import { squaredDifference } from '../src/kernels/elementwise.ts';
import { mean } from '../src/kernels/sum.ts';
import { errorByNorm } from './support/close.ts';
import { engine } from './support/gpu.ts';
import { plannedRows, testedRows } from './support/planned.ts';

const gpu = await engine();

describe('every variant of every op equals its float64 reference', () => {
  const { caps, variants, excluded } = gpu;
  for (const { prepared, paths } of plannedRows({ caps, variants, excluded, precision: 'f16' })) {
    for (const path of paths) {
      it(`${prepared.row.name} [${pathName(path)}]`, async () => {
        const { variants, precision, rounding } = path;
        const plan = await gpu.compile({ outputs: { y: prepared.output }, variants, precision });
        const { y } = await plan.run(prepared.data(), ['y']);
        plan.destroy();
        const { isRight, message } = compareResult(prepared, y!, rounding);
        if (!isRight) expect.fail(message);
      });
    }
  }
});

// They are rules and sums of ops: one adapter is enough.
describe.skipIf(process.env['RAAD_KERNELS'] === 'gpu')('gradients', () => {
  const counts = new Map<string, number>();
  for (const { row, output, inputs, values: drawn, data } of testedRows.filter((each) => each.row.gradient)) {
    const count = counts.get(output.op.name) ?? 0;
    counts.set(output.op.name, count + 1);
    // What gradients consist of has rows of its own: a third of each op's run on the device, too, and all in the full run.
    const isRun = process.env['RAAD_TEST'] === 'full' || count % 3 === 0;
    it(`${row.name}${isRun ? ', on the device' : ''}`, async () => {
      const values = drawn();
      // A loss that weighs every output differently.
      const target = new Parameter('target', output.type);
      target.data = Float32Array.from(randomValues(target.node, 'normal', 7));
      const loss = mean(squaredDifference(output, target.node));
      const wrt = row.gradient!.map((i) => inputs[i]!);
      const gradients = gradient([loss], wrt, DETECTOR_GRADIENT_RULES);
      const reference = evaluateReference(gradients, values);

      // The rule against central differences of the float64 reference, at a few elements. Steps that cross a kink of a
      // rectifier are recognized by one-sided differences that disagree.
      const at0 = evaluateReference([loss], values)[0]![0]!;
      wrt.forEach((node, k) => {
        const x = values.get(node) as Float64Array;
        const length = size(node.type);
        let checked = 0;
        for (let probe = 0; probe < 6; probe++) {
          const at = (probe * 7919 + 13) % length;
          const before = x[at]!;
          const h = 1e-5;
          x[at] = before + h;
          const up = evaluateReference([loss], values)[0]![0]!;
          x[at] = before - h;
          const down = evaluateReference([loss], values)[0]![0]!;
          x[at] = before;
          const forward = (up - at0) / h;
          const backward = (at0 - down) / h;
          const numeric = (up - down) / (2 * h);
          const scale = Math.max(...Array.from(reference[k]!, Math.abs), 1e-12);
          if (Math.abs(forward - backward) > 1e-2 * scale) continue;
          checked++;
          expect(Math.abs(numeric - reference[k]![at]!) / scale).toBeLessThan(1e-4);
        }
        expect(checked).toBeGreaterThan(0);
      });

      if (!isRun) return;
      const outputs = Object.fromEntries(gradients.map((node, k) => [`g${k}`, node]));
      const plan = await gpu.compile({ outputs });
      const results = await plan.run(data(), Object.keys(outputs));
      plan.destroy();
      gradients.forEach((_, k) => {
        expect(errorByNorm(results[`g${k}`]!, reference[k]!)).toBeLessThan(1e-4);
      });
    });
  }
});

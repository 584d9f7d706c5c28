import { describe, expect, test } from 'vitest';
import { loadDetector, readModel, saveDetector } from '../src/detector/modelFile.ts';
import { Tuning } from '../src/engine/tuning.ts';
import { UserError } from '../src/errors.ts';
import { bitPlanText, type LayerPlan, parseBitPlan } from '../src/quantization/bitPlan.ts';
import { fit } from '../src/train/fit.ts';
import { engine } from './support/gpu.ts';
import { savedFile, savedRun } from './support/savedFiles.ts';
import { describeModel, directMap } from './support/savedModels.ts';

const gpu = await engine();
const text = (name: string) => new TextDecoder().decode(savedFile(name));
const expected = JSON.parse(text('expected.json'));
/** Kernels round as the driver compiles them: bits are equal on the one that the files were made on, elsewhere nearly. */
const isSameDriver = gpu.caps.description === expected.adapter;

for (const [name, version] of [
  ['model-1', 'a float detector of version 1'],
  ['model-2', 'a quantized detector of version 2'],
] as const) {
  test(`${version} is read with every bit, and gives the map that it gave`, async () => {
    const bytes = savedFile(`${name}.safetensors.gz`);
    const detector = await loadDetector(gpu, bytes, { name });
    expect(describeModel(detector.state)).toEqual(expected[name]);
    expect(describeModel(await readModel(await saveDetector(detector)))).toEqual(expected[name]);
    const map = await directMap(detector);
    const before = new Float32Array(new Uint8Array(savedFile(`${name}.map`)).buffer);
    if (isSameDriver) expect(map).toEqual(before);
    const largest = Math.max(...before.map(Math.abs));
    map.forEach((value, i) => void expect(Math.abs(value - before[i]!)).toBeLessThan(1e-4 * largest));
    detector.destroy();
  });
}

test('a bit plan is read and written as it was', async () => {
  const { networks } = await readModel(savedFile('model-1.safetensors.gz'));
  const plan = parseBitPlan(text('bit-plan.json'), networks);
  expect(bitPlanText(plan, networks)).toBe(text('bit-plan.json'));
  for (const [layer, { plan: own }] of Object.entries<{ plan: LayerPlan }>(expected['model-2'].layers)) {
    expect(plan.layers[layer], layer).toEqual(own);
  }
});

test('a tuning table is read and written as it was', () => {
  expect(Tuning.parse(text('tuning.json')).text()).toBe(text('tuning.json'));
});

describe('a checkpoint in mid-run', () => {
  const resume = savedFile('checkpoint.safetensors.gz');

  test.runIf(isSameDriver)('is gone on with to the weights that its run ended with', async () => {
    const detector = await fit({ ...savedRun(), engine: gpu, resume });
    expect(describeModel(detector.state)).toEqual(expected['model-1']);
    detector.destroy();
  });

  test.skipIf(isSameDriver)('is refused on another adapter by name', async () => {
    await expect(fit({ ...savedRun(), engine: gpu, resume })).rejects.toThrow(UserError);
  });
});

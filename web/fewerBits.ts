import { loadDetector, saveDetector } from '../src/detector/modelFile.ts';
import { quantize } from '../src/detector/quantize.ts';
import { UserError } from '../src/errors.ts';
import type { WeightBits } from '../src/formats/weightCodes.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { engine } from './device.ts';
import type { ModelFile } from './models.ts';
import { type Picture, sourceOf } from './pictures.ts';
import type { TaskControl } from './task.ts';

/**
 * A float model with weights of so many bits and 8-bit activations in all layers.
 * @param normal pictures of good parts, of which ranges and threshold are taken
 * @throws UserError without pictures, or for a model that is quantized already
 */
export async function withBits(
  { name, bytes }: ModelFile,
  weights: WeightBits,
  normal: readonly Picture[],
  { signal, progress }: TaskControl,
): Promise<ModelFile> {
  if (normal.length === 0)
    throw new UserError('there is no picture that is normal by the threshold.', 'Score pictures of good parts first.');
  progress(`Reading ${name}.`);
  const detector = await loadDetector(await engine(), bytes, { name, signal });
  try {
    const source = sourceOf(normal);
    const quantized = await quantize({
      detector,
      plan: uniformPlan(detector.state.networks, { weights, activations: 8 }),
      train: source,
      heldOut: source,
      signal,
      onProgress: ({ done, total }) => progress(`Quantizing to ${weights} bits: ${done} of ${total}.`, done, total),
    });
    try {
      const stem = name.replace(/\.safetensors$/, '');
      return { name: `${stem}-w${weights}a8.safetensors`, bytes: await saveDetector(quantized) };
    } finally {
      quantized.destroy();
    }
  } finally {
    detector.destroy();
  }
}

// @ts-check
// Gives the weights of a detector fewer bits, 4 by default; activations become 8-bit integers.
// node examples/quantize.mjs MODEL.safetensors DATA OUT.safetensors [BITS]
import { resolve } from 'node:path';
import { loadDetector, quantize, saveDetector, splitHeldOut, uniformPlan } from 'raad-webgpu';
import { Engine, loadImages, openDatasets, openDevice, readBytes, writeAtomically } from 'raad-webgpu/node';

const [model = 'model.safetensors', folder, output = 'small.safetensors', bits = '4'] = process.argv.slice(2);
const { root, datasets } = await openDatasets(folder);
const [dataset] = datasets;
if (!dataset) throw new Error('there is no data set');

const { device, close } = await openDevice();
const engine = new Engine({ device });
const bytes = await readBytes(model);
const detector = await loadDetector(engine, bytes, { name: model });
// The split that the model was trained with.
const split = splitHeldOut(dataset, detector.state.provenance.seed);
/** @param {readonly string[]} paths */
const load = (paths) =>
  loadImages(
    paths.map((path) => resolve(root, path)),
    console.warn,
  );
const weights = /** @type {import('raad-webgpu').LayerPlan['weights']} */ (Number(bits));
const small = await quantize({
  detector,
  plan: uniformPlan(detector.state.networks, { weights, activations: 8 }),
  train: await load(split.train),
  heldOut: await load(split.heldOut),
});
const packed = await saveDetector(small);
await writeAtomically(output, packed);
console.log(
  `${output}: ${packed.length} of ${bytes.length} bytes, threshold ${small.state.threshold?.value.toFixed(4)}`,
);
small.destroy();
detector.destroy();
engine.destroy();
close();

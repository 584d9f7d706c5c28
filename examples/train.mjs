// @ts-check
// Learns from the good images of a data set, measures the detector on its test images, and writes the model file.
// node examples/train.mjs DATA MODEL.safetensors [ITERATIONS]
import { resolve } from 'node:path';
import { evaluate, fit, generatedPenalty, PRESETS, saveDetector, splitHeldOut } from 'raad-webgpu';
import {
  Engine,
  loadImages,
  openDatasets,
  openDevice,
  readTeacher,
  testSource,
  writeAtomically,
} from 'raad-webgpu/node';

const [folder, output = 'model.safetensors', iterations = PRESETS.quick.iterations] = process.argv.slice(2);
const { root, datasets } = await openDatasets(folder);
const [dataset] = datasets;
if (!dataset) throw new Error('there is no data set');
const settings = { ...PRESETS.quick, iterations: Number(iterations) };

const { device, close } = await openDevice();
const engine = new Engine({ device });
const split = splitHeldOut(dataset, settings.seed);
/** @param {readonly string[]} paths */
const load = (paths) =>
  loadImages(
    paths.map((path) => resolve(root, path)),
    console.warn,
  );
const detector = await fit({
  engine,
  settings,
  dataset: dataset.name,
  train: await load(split.train),
  heldOut: await load(split.heldOut),
  penalty: generatedPenalty(settings.seed),
  teacher: await readTeacher(settings.size),
  onProgress: ({ phase, done, total }) => {
    if (done === total) console.log(`${phase}: ${total}`);
  },
});
const { metrics } = await evaluate({ detector, source: testSource(root, dataset) });
console.log(`image AUROC ${metrics.auroc?.toFixed(4)}`);
await writeAtomically(output, await saveDetector(detector));
console.log(output);
detector.destroy();
engine.destroy();
close();

// @ts-check
// Scores an image and draws where its defects are.
// node examples/predict.mjs MODEL.safetensors IMAGE HEATMAP.png
import { heatmapRange, loadDetector, renderHeatmap } from 'raad-webgpu';
import { Engine, encodePng, openDevice, readBytes, readImage, writeAtomically } from 'raad-webgpu/node';

const [model = 'model.safetensors', file = 'photo.jpg', output = 'heatmap.png'] = process.argv.slice(2);
const { device, close } = await openDevice();
const engine = new Engine({ device });
const detector = await loadDetector(engine, await readBytes(model), { name: model });
const image = await readImage(file);
const { score, isAnomalous, map } = await detector.predict(image);
console.log(`score ${score.toFixed(4)}, ${isAnomalous ? 'anomalous' : 'normal'}`);
const picture = renderHeatmap({ ...heatmapRange(detector.state), image, map, title: file, score });
await writeAtomically(output, await encodePng(picture));
console.log(output);
detector.destroy();
engine.destroy();
close();

// Scores pictures by the model that lies beside the page, and shows where their defects are. Nothing leaves the browser.
import {
  type Detector,
  Engine,
  heatmapRange,
  imageDataOf,
  imageFrom,
  loadDetector,
  openBrowserDevice,
  overlayHeatmap,
  UserError,
} from 'raad-webgpu/browser';

const picture = document.querySelector('input')!;
const status = document.querySelector('output')!;
const canvas = document.querySelector('canvas')!;

const say = (text: string) => {
  status.textContent = text;
};

/** What the user can do something about is a sentence; the rest is for the console. */
function tell(error: unknown): void {
  if (!(error instanceof UserError)) throw error;
  say(`${error.message} ${error.fix ?? ''}`);
}

async function openDetector(): Promise<Detector> {
  const engine = new Engine({ device: await openBrowserDevice() });
  const detector = await loadDetector(engine, 'model.safetensors', {
    onProgress: (received, total) => say(`Loading the model: ${received} of ${total ?? 'so many'} bytes.`),
  });
  say('Compiling for this adapter.');
  await detector.warmUp();
  return detector;
}

async function inspect(detector: Detector, file: File): Promise<void> {
  const image = await imageFrom(file);
  const { map, score, isAnomalous } = await detector.predict(image);
  const { width, height } = image;
  Object.assign(canvas, { width, height });
  canvas
    .getContext('2d')!
    .putImageData(imageDataOf(overlayHeatmap({ image, map, ...heatmapRange(detector.state) })), 0, 0);
  say(`${file.name}: score ${score.toFixed(3)}, ${isAnomalous ? 'anomalous' : 'normal'}.`);
}

async function start(): Promise<void> {
  let detector = await openDetector();
  /** A device that is lost, such as by a driver's update, is replaced. */
  const watch = async (): Promise<void> => {
    await detector.engine.lost;
    detector = detector.moveTo(new Engine({ device: await openBrowserDevice() }));
    watch().catch(tell);
  };
  watch().catch(tell);
  picture.addEventListener('change', () => {
    const file = picture.files?.[0];
    if (file) inspect(detector, file).catch(tell);
  });
  picture.disabled = false;
  say('Choose a picture.');
}

start().catch(tell);

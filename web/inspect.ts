import type { RgbImage } from '../src/data/image.ts';
import { Detector, type Prediction } from '../src/detector/detector.ts';
import { loadDetector, saveDetector } from '../src/detector/modelFile.ts';
import { UserError } from '../src/errors.ts';
import type { WeightBits } from '../src/formats/weightCodes.ts';
import type { RegionOfInterest } from '../src/imaging/region.ts';
import { openCamera } from './camera.ts';
import { encodePng } from './canvas.ts';
import { engine } from './device.ts';
import { byId, download } from './dom.ts';
import { type ModelFile, ModelList } from './models.ts';
import { encodeNpy } from './npy.ts';
import { acceptChoice, acceptDrops, bytesOf, isPicture, type NamedFile, type Picture, picturesOf } from './pictures.ts';
import { RegionChoice } from './regionChoice.ts';
import { ScoreTable } from './scoreTable.ts';
import { sentence, Task, type TaskControl } from './task.ts';
import { Viewer } from './viewer.ts';

/** Pictures on which models are compared at most. */
const COMPARED = 6;

/** The panel in which pictures are scored. */
export class Inspect {
  readonly #task = new Task(byId('inspect-task', HTMLElement));
  readonly #viewer = new Viewer((threshold) => this.#scores.judge(threshold));
  readonly #scores = new ScoreTable((picture) => void this.#show(picture));
  readonly #region = new RegionChoice((region) => void this.#look(region));
  readonly #models = new ModelList((model) => void this.#switch(model));
  #model: ModelFile | undefined;
  #detector: Detector | undefined;
  #shown: Picture | undefined;
  #isWatching = false;
  /** Those that wait for a model, and those that were scored last. */
  #waiting: readonly Picture[] = [];
  #pictures: readonly Picture[] = [];

  constructor() {
    acceptDrops(byId('inspect', HTMLElement), (files) => void this.open(files));
    for (const input of ['inspect-model', 'inspect-pictures', 'inspect-folder'])
      acceptChoice(byId(input, HTMLInputElement), (files) => void this.open(files));
    byId('inspect-demo', HTMLButtonElement).addEventListener('click', () => void this.#demo());
    byId('inspect-camera', HTMLButtonElement).addEventListener('click', () => void this.#watch());
    byId('inspect-save-model', HTMLButtonElement).addEventListener('click', () => void this.#saveModel());
    byId('inspect-compare', HTMLButtonElement).addEventListener('click', () => void this.#compare());
    byId('inspect-fewer', HTMLButtonElement).addEventListener('click', () => void this.#fewerBits());
    byId('inspect-save', HTMLButtonElement).addEventListener('click', () => void this.#savePicture());
    byId('inspect-save-map', HTMLButtonElement).addEventListener('click', () => this.#saveMap());
  }

  /** Takes a model and pictures, in any order. What is no picture has to be a model. */
  async open(files: readonly NamedFile[]): Promise<void> {
    const models = files.filter((file) => !isPicture(file));
    const isFolder = files.some(({ path }) => path.includes('/'));
    // Folders hold other files, too.
    const model = models.find(({ path }) => path.endsWith('.safetensors')) ?? (isFolder ? undefined : models[0]);
    const pictures = picturesOf(files);
    if (model) {
      if (pictures.length > 0) this.#waiting = pictures;
      await this.#take(model.path, () => bytesOf(model));
    } else if (pictures.length > 0) await this.#scoreAll(pictures);
    else this.#task.fail(new UserError('there is no picture and no model among these files.'));
  }

  /** Takes models, of which the first is used, and scores the pictures that wait for one. */
  use(models: readonly ModelFile[]): Promise<void> {
    for (const model of models) this.#models.add(model);
    const { name, bytes } = models[0]!;
    return this.#take(name, async () => bytes);
  }

  /** Another model of the list for the same pictures. */
  #switch({ name, bytes }: ModelFile): Promise<void> {
    this.#waiting = this.#pictures;
    return this.#take(name, async () => bytes);
  }

  async #take(name: string, read: () => Promise<Uint8Array>): Promise<void> {
    const isTaken = await this.#task.run(async ({ signal, progress }) => {
      progress(`Reading ${name}.`);
      const bytes = await read();
      const detector = await loadDetector(await engine(), bytes, { name, signal });
      this.#detector?.destroy();
      this.#model = { name, bytes };
      this.#models.use(this.#model);
      this.#detector = detector;
      this.#pictures = [];
      this.#scores.clear();
      this.#viewer.use(detector.state);
      this.#region.use(detector.state.region);
      this.#region.allow(!detector.state.tiling);
      byId('inspect-about', HTMLElement).textContent = aboutModel(name, detector);
      return 'The model is ready: drop or choose pictures.';
    });
    if (!isTaken) this.#models.restore(this.#model);
    else if (this.#waiting.length > 0) await this.#scoreAll(this.#waiting);
  }

  /** The model on the engine of now: it moves there after a device was lost. */
  async #ready(): Promise<Detector> {
    if (!this.#detector)
      throw new UserError('there is no model yet.', 'Drop or choose a .safetensors file, or try the demo.');
    const current = await engine();
    if (this.#detector.engine !== current) this.#detector = this.#detector.moveTo(current);
    return this.#detector;
  }

  /** Looks at another part of the pictures, with all that were scored. */
  async #look(region: RegionOfInterest | undefined): Promise<void> {
    const before = this.#detector;
    if (!before) return;
    const { region: _, ...whole } = before.state;
    this.#detector = new Detector(before.engine, { ...whole, region });
    before.destroy();
    // A camera goes on, with the new region.
    if (!this.#isWatching && this.#pictures.length > 0) await this.#scoreAll(this.#pictures);
  }

  async #show(picture: Picture): Promise<void> {
    await this.#task.run(async ({ progress }) => {
      const detector = await this.#ready();
      progress(`Scoring ${picture.name}.`);
      const image = await picture.read();
      this.#display(picture, image, await detector.predict(image));
      return '';
    });
  }

  #display(picture: Picture, image: RgbImage, prediction: Prediction): void {
    this.#present(picture.name, image, prediction);
    this.#scores.mark(picture);
    this.#shown = picture;
  }

  #present(name: string, image: RgbImage, prediction: Prediction): void {
    this.#viewer.show(name, image, prediction);
    this.#region.fit(image);
  }

  async #scoreAll(pictures: readonly Picture[]): Promise<void> {
    this.#waiting = this.#detector ? [] : pictures;
    if (!this.#detector) {
      this.#task.say(`${count(pictures.length)} are waiting for a model: drop or choose a .safetensors file.`);
      return;
    }
    await this.#task.run((control) => this.#scoreEach(pictures, control));
  }

  async #scoreEach(pictures: readonly Picture[], { signal, progress }: TaskControl): Promise<string> {
    this.#pictures = pictures;
    const detector = await this.#ready();
    progress('Compiling for this adapter.');
    await detector.warmUp(1, { signal });
    this.#scores.clear();
    const read: { readonly picture: Picture; readonly image: RgbImage }[] = [];
    const scores = this.#scores;
    async function* images(): AsyncGenerator<RgbImage> {
      for (const picture of pictures) {
        signal.throwIfAborted();
        try {
          const image = await picture.read();
          read.push({ picture, image });
          yield image;
        } catch (error) {
          scores.refuse(picture, sentence(error));
        }
      }
    }
    const shown = pictures.find((picture) => picture === this.#shown) ?? pictures[0];
    const start = performance.now();
    let done = 0;
    for await (const prediction of detector.stream(images(), { signal })) {
      const { picture, image } = read.shift()!;
      scores.add(picture, prediction.score);
      this.#viewer.allow(prediction.score);
      if (picture === shown || done === 0) this.#display(picture, image, prediction);
      done++;
      progress(`${done} of ${pictures.length}: ${picture.name}`, done, pictures.length);
    }
    const seconds = (performance.now() - start) / 1000;
    if (done < 2) return `${count(done)}.`;
    return `${count(done)}, ${(done / seconds).toFixed(1)} per second, with decoding.`;
  }

  /** All models of the list side by side. */
  async #compare(): Promise<void> {
    await this.#task.run((control) => this.#compareAll(control));
  }

  async #compareAll(control: TaskControl): Promise<string> {
    const pictures = this.#pictures.slice(0, COMPARED);
    if (pictures.length === 0) throw new UserError('there is no picture to compare on.', 'Drop or choose some.');
    const { compare } = await import('./comparison.ts');
    const place = byId('inspect-comparison', HTMLElement);
    place.replaceChildren(...(await compare(this.#models.all, pictures, control)));
    // It stands below picture and scores.
    place.scrollIntoView();
    return 'Compared.';
  }

  /** Puts a model with fewer bits beside the one in use. */
  async #fewerBits(): Promise<void> {
    const bits = Number(byId('inspect-bits', HTMLSelectElement).value) as WeightBits;
    await this.#task.run(async (control) => {
      await this.#ready();
      const { withBits } = await import('./fewerBits.ts');
      this.#models.add(await withBits(this.#model!, bits, this.#scores.normal, control));
      return this.#compareAll(control);
    });
  }

  async #watch(): Promise<void> {
    await this.#task.run(async ({ signal, progress }) => {
      await this.#ready();
      progress('Asking for the camera.');
      using camera = await openCamera();
      let frames = 0;
      const start = performance.now();
      this.#isWatching = true;
      try {
        while (!signal.aborted) {
          const image = await camera.frame();
          const detector = await this.#ready();
          this.#present('camera', image, await detector.predict(image));
          frames++;
          progress(`Camera: ${((1000 * frames) / (performance.now() - start)).toFixed(1)} frames per second.`);
        }
      } finally {
        this.#isWatching = false;
      }
      return 'The camera is off.';
    });
  }

  async #demo(): Promise<void> {
    const { demoLesson, demoPictures } = await import('./demo.ts');
    const lesson = demoLesson(Number(byId('inspect-demo', HTMLButtonElement).dataset['steps']));
    let model: ModelFile | undefined;
    await this.#task.run(async (control) => {
      const { learn } = await import('./learning.ts');
      const detector = await learn(lesson, control);
      model = { name: lesson.name, bytes: await saveDetector(detector) };
      detector.destroy();
      return '';
    });
    if (!model) return;
    this.#waiting = demoPictures();
    await this.use([model]);
  }

  async #saveModel(): Promise<void> {
    const detector = await this.#ready();
    const name = fileStem(this.#model?.name ?? 'model').replace(/(\.region)?\.safetensors$/, '');
    const bytes = new Uint8Array(await saveDetector(detector));
    download(`${name}.region.safetensors`, 'application/octet-stream', bytes);
  }

  async #savePicture(): Promise<void> {
    const { name, image } = await this.#viewer.rendered();
    download(`${fileStem(name)}.heatmap.png`, 'image/png', await encodePng(image));
  }

  #saveMap(): void {
    const { name, prediction } = this.#viewer.shown;
    const { map, width, height } = prediction;
    download(`${fileStem(name)}.map.npy`, 'application/octet-stream', encodeNpy(map, width, height));
  }
}

const count = (pictures: number) => (pictures === 1 ? '1 picture' : `${pictures} pictures`);

/** A picture's name without folders. */
const fileStem = (name: string) => name.slice(name.lastIndexOf('/') + 1);

function aboutModel(name: string, { state }: Detector): string {
  const { networks, provenance, threshold, quantization } = state;
  return [
    `${name}: PDN-${networks.size.toUpperCase()}, ${networks.side} px${quantization ? ', quantized' : ''}`,
    `learned ${provenance.trainImages} pictures of ${provenance.dataset} in ${provenance.iterations} steps`,
    threshold ? `threshold ${threshold.value.toPrecision(3)}` : 'no threshold',
  ].join('; ');
}

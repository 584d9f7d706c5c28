import { saveDetector } from '../src/detector/modelFile.ts';
import { UserError } from '../src/errors.ts';
import { byId } from './dom.ts';
import { aboutTime } from './duration.ts';
import type { Learned, Taught } from './learned.ts';
import { learn, lessonOptions } from './learning.ts';
import { Begun, keepsLessons, type Lesson } from './lessonStore.ts';
import { LossCurve } from './lossCurve.ts';
import type { ModelFile } from './models.ts';
import type { Pace } from './pace.ts';
import { acceptChoice, acceptDrops, isPicture, type NamedFile } from './pictures.ts';
import { Task, type TaskControl } from './task.ts';
import type { OnLosses } from './training.ts';

const CHOICES = ['teach-pictures', 'teach-folder'];
const SETTINGS = ['teach-name', 'teach-steps'];
/** Pictures that are photographed at most. */
const MOST_PHOTOGRAPHS = 300;

const NOTHING_KEPT = 'This browser keeps nothing for the page: a lesson is lost when the tab is closed.';

/** The panel in which a detector is trained. */
export class Teach {
  readonly #task = new Task(byId('teach-task', HTMLElement), 'Pause');
  readonly #curve = new LossCurve();
  readonly #start = byId('teach-start', HTMLButtonElement);
  readonly #inspect: (models: readonly ModelFile[]) => Promise<void>;
  #files: readonly NamedFile[] = [];
  /** The lesson that was paused. */
  #begun: Begun | undefined;
  #learned: Learned | undefined;
  /** How fast this adapter learns, by the side of the input. */
  readonly #paces = new Map<number, Pace>();
  #isLearning = false;

  /** @param inspect opens the other panel with models */
  constructor(inspect: (models: readonly ModelFile[]) => Promise<void>) {
    this.#inspect = inspect;
    acceptDrops(byId('teach', HTMLElement), (files) => this.#take(files));
    for (const input of CHOICES) acceptChoice(byId(input, HTMLInputElement), (files) => this.#take(files));
    byId('teach-camera', HTMLButtonElement).addEventListener('click', () => void this.#photograph());
    byId('teach-steps', HTMLInputElement).addEventListener('input', () => this.#tellTime());
    byId('teach-side', HTMLSelectElement).addEventListener('change', () => void this.#measure());
    this.#start.addEventListener('click', () => void this.#learn());
    void this.#restore();
  }

  /** New pictures begin another lesson. */
  #take(files: readonly NamedFile[]): void {
    if (this.#isLearning) return;
    this.#files = files.filter(isPicture);
    this.#begun = undefined;
    this.#refresh();
    void this.#measure();
  }

  async #photograph(): Promise<void> {
    let files: readonly NamedFile[] = [];
    await this.#task.run(async (control) => {
      const { photograph } = await import('./photograph.ts');
      files = await photograph(MOST_PHOTOGRAPHS, control);
      return '';
    }, 'Stop');
    if (files.length > 0) this.#take(files);
  }

  /** Shows what the tab was closed in. */
  async #restore(): Promise<void> {
    const kept = await Begun.kept();
    if (kept && this.#files.length === 0) {
      const { lesson, model } = kept;
      this.#files = lesson.files;
      byId('teach-name', HTMLInputElement).value = lesson.name;
      byId('teach-side', HTMLSelectElement).value = String(lesson.settings.resolution);
      byId('teach-steps', HTMLInputElement).value = String(lesson.settings.iterations);
      if (model) await this.#show({ lesson, model }, kept);
      else this.#begun = kept;
    }
    this.#refresh();
  }

  /** Says what the lesson will take here, by a few steps of it. */
  async #measure(): Promise<void> {
    this.#tellTime();
    if (this.#files.length === 0 || this.#isLearning || this.#paces.has(this.#side)) return;
    await this.#task.run(async (control) => {
      await this.#findPace(this.#readLesson(), control);
      return '';
    }, 'Stop');
  }

  async #findPace(lesson: Lesson, control: TaskControl): Promise<void> {
    const { resolution } = lesson.settings;
    if (this.#paces.has(resolution)) return;
    const { measurePace } = await import('./pace.ts');
    this.#paces.set(resolution, await measurePace(lessonOptions(lesson), control));
    this.#tellTime();
  }

  #tellTime(): void {
    const pace = this.#paces.get(this.#side);
    const steps = byId('teach-steps', HTMLInputElement).valueAsNumber;
    const milliseconds = pace && pace.perStep * steps + pace.perPicture * this.#files.length;
    byId('teach-time', HTMLElement).textContent =
      milliseconds === undefined || !(milliseconds > 0) || this.#files.length === 0
        ? ''
        : `${steps} steps take ${aboutTime(milliseconds / 1000)} on this adapter.`;
  }

  async #learn(): Promise<void> {
    let taught: Taught | undefined;
    await this.#task.run(async (control) => {
      this.#learned?.hide();
      this.#isLearning = true;
      this.#refresh();
      const begun = this.#begun ?? (await this.#begin(control));
      this.#begun = begun;
      const { lesson } = begun;
      this.#curve.clear(lesson.settings.iterations);
      this.#refresh();
      const model = await this.#run(begun, control);
      await begun.end();
      this.#begun = undefined;
      taught = { lesson, model };
      return `Learned: ${model.name}, ${(model.bytes.length / 1e6).toFixed(1)} MB.`;
    });
    this.#isLearning = false;
    this.#refresh();
    if (taught) await this.#show(taught);
  }

  async #begin(control: TaskControl): Promise<Begun> {
    await this.#findPace(this.#readLesson(), control);
    const begun = new Begun(this.#readLesson());
    await begun.keep();
    return begun;
  }

  async #show(taught: Taught, begun?: Begun): Promise<void> {
    try {
      const { Learned } = await import('./learned.ts');
      this.#learned ??= new Learned(this.#task, this.#inspect);
      this.#learned.show(taught, begun);
    } catch (error) {
      this.#task.fail(error);
    }
  }

  async #run(begun: Begun, control: TaskControl): Promise<ModelFile> {
    const { lesson } = begun;
    const onLosses: OnLosses = (step, losses) => this.#curve.add(step, losses);
    const detector = await learn(lessonOptions(lesson), control, { kept: begun, onLosses });
    try {
      return { name: `${lesson.name}.safetensors`, bytes: await saveDetector(detector) };
    } finally {
      detector.destroy();
    }
  }

  get #side(): number {
    return Number(byId('teach-side', HTMLSelectElement).value);
  }

  /** @throws UserError for settings that cannot be used */
  #readLesson(): Lesson {
    const name = byId('teach-name', HTMLInputElement).value.trim();
    if (!/^[^/\\]+$/.test(name)) throw new UserError('the name cannot be used.', 'Give one without slashes.');
    const iterations = byId('teach-steps', HTMLInputElement).valueAsNumber;
    return { name, files: this.#files, settings: { iterations, resolution: this.#side } };
  }

  #refresh(): void {
    const count = this.#files.length;
    const isBegun = this.#begun !== undefined;
    const isLearning = this.#isLearning;
    const pictures =
      count === 0
        ? 'No pictures yet.'
        : `${count} pictures${isBegun && !isLearning ? ' of a lesson that goes on' : ''}.`;
    byId('teach-about', HTMLElement).textContent = keepsLessons() ? pictures : `${pictures} ${NOTHING_KEPT}`;
    this.#start.textContent = isBegun && !isLearning ? 'Go on' : 'Learn';
    this.#start.disabled = count === 0 || isLearning;
    for (const id of CHOICES) byId(id, HTMLInputElement).disabled = isLearning;
    byId('teach-camera', HTMLButtonElement).disabled = isLearning;
    for (const id of SETTINGS) byId(id, HTMLInputElement).disabled = isBegun || isLearning;
    byId('teach-side', HTMLSelectElement).disabled = isBegun || isLearning;
  }
}

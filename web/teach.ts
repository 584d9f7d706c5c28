import { saveDetector } from '../src/detector/modelFile.ts';
import { UserError } from '../src/errors.ts';
import { byId, download } from './dom.ts';
import type { ModelFile } from './inspect.ts';
import { learn } from './learning.ts';
import { forgetLesson, keepCheckpoint, keepLesson, keptLesson, type Lesson } from './lessonStore.ts';
import { LossCurve } from './lossCurve.ts';
import { acceptChoice, acceptDrops, isPicture, type NamedFile, picturesOf } from './pictures.ts';
import { Task, type TaskControl } from './task.ts';

const CHOICES = ['teach-pictures', 'teach-folder'];
const SETTINGS = ['teach-name', 'teach-steps'];

/** The panel in which a detector is trained. */
export class Teach {
  readonly #task = new Task(byId('teach-task', HTMLElement), 'Pause');
  readonly #curve = new LossCurve();
  readonly #start = byId('teach-start', HTMLButtonElement);
  #files: readonly NamedFile[] = [];
  /** What was stopped, and where. */
  #begun: { readonly lesson: Lesson; checkpoint: Uint8Array | undefined } | undefined;
  #model: ModelFile | undefined;
  /** Whether the browser keeps lessons. */
  #isKept = true;

  /** @param inspect opens the other panel with a model */
  constructor(inspect: (model: ModelFile) => Promise<void>) {
    acceptDrops(byId('teach', HTMLElement), (files) => this.#take(files));
    for (const input of CHOICES) acceptChoice(byId(input, HTMLInputElement), (files) => this.#take(files));
    this.#start.addEventListener('click', () => void this.#learn());
    byId('teach-save', HTMLButtonElement).addEventListener('click', () => {
      if (this.#model) download(this.#model.name, 'application/octet-stream', new Uint8Array(this.#model.bytes));
    });
    byId('teach-inspect', HTMLButtonElement).addEventListener('click', () => {
      if (this.#model) void inspect(this.#model);
    });
    void this.#restore();
  }

  /** New pictures begin another lesson. */
  #take(files: readonly NamedFile[]): void {
    if (this.#task.isRunning) return;
    this.#files = files.filter(isPicture);
    this.#begun = undefined;
    this.#refresh();
  }

  /** Shows the lesson that the tab was closed in. */
  async #restore(): Promise<void> {
    try {
      const kept = await keptLesson();
      if (!kept || this.#files.length > 0) return;
      this.#begun = kept;
      this.#files = kept.lesson.files;
      byId('teach-name', HTMLInputElement).value = kept.lesson.name;
      byId('teach-side', HTMLSelectElement).value = String(kept.lesson.settings.resolution);
      byId('teach-steps', HTMLInputElement).value = String(kept.lesson.settings.iterations);
      this.#refresh();
    } catch {
      this.#isKept = false;
      this.#task.say('This browser keeps nothing for the page: a lesson is lost when the tab is closed.');
    }
  }

  async #learn(): Promise<void> {
    const isNew = this.#begun === undefined;
    await this.#task.run(async (control) => {
      this.#begun ??= { lesson: this.#readLesson(), checkpoint: undefined };
      const { lesson } = this.#begun;
      this.#curve.clear(lesson.settings.iterations);
      this.#refresh(true);
      if (isNew && this.#isKept) await keepLesson(lesson);
      this.#model = await this.#run(lesson, control);
      this.#begun = undefined;
      if (this.#isKept) await forgetLesson();
      return `Learned: ${this.#model.name}, ${(this.#model.bytes.length / 1e6).toFixed(1)} MB.`;
    });
    this.#refresh();
  }

  async #run(lesson: Lesson, control: TaskControl): Promise<ModelFile> {
    const detector = await learn(
      {
        name: lesson.name,
        pictures: picturesOf(lesson.files),
        settings: lesson.settings,
        resume: this.#begun?.checkpoint,
        save: async (checkpoint) => {
          if (this.#begun) this.#begun.checkpoint = checkpoint;
          if (this.#isKept) await keepCheckpoint(checkpoint);
        },
        onLosses: (step, losses) => this.#curve.add(step, losses),
      },
      control,
    );
    try {
      return { name: `${lesson.name}.safetensors`, bytes: await saveDetector(detector) };
    } finally {
      detector.destroy();
    }
  }

  /** @throws UserError for settings that cannot be used */
  #readLesson(): Lesson {
    const name = byId('teach-name', HTMLInputElement).value.trim();
    if (!/^[^/\\]+$/.test(name)) throw new UserError('the name cannot be used.', 'Give one without slashes.');
    const iterations = byId('teach-steps', HTMLInputElement).valueAsNumber;
    const resolution = Number(byId('teach-side', HTMLSelectElement).value);
    return { name, files: this.#files, settings: { iterations, resolution } };
  }

  #refresh(isRunning = false): void {
    const count = this.#files.length;
    const isBegun = this.#begun !== undefined;
    byId('teach-about', HTMLElement).textContent =
      count === 0
        ? 'No pictures yet.'
        : `${count} pictures${isBegun && !isRunning ? ' of a lesson that goes on' : ''}.`;
    this.#start.textContent = isBegun ? 'Go on' : 'Learn';
    this.#start.disabled = count === 0 || isRunning;
    for (const id of CHOICES) byId(id, HTMLInputElement).disabled = isRunning;
    for (const id of SETTINGS) byId(id, HTMLInputElement).disabled = isBegun;
    byId('teach-side', HTMLSelectElement).disabled = isBegun;
    for (const id of ['teach-save', 'teach-inspect']) byId(id, HTMLButtonElement).disabled = isRunning || !this.#model;
  }
}

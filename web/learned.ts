import { loadDetector, saveDetector } from '../src/detector/modelFile.ts';
import type { Allocation } from '../src/hqs/allocate.ts';
import { compare } from './comparison.ts';
import { engine } from './device.ts';
import { byId, download, make, table } from './dom.ts';
import { type LessonOptions, lessonData } from './learning.ts';
import type { ModelFile } from './models.ts';
import { plantedPictures } from './planted.ts';
import { makeSmaller } from './smaller.ts';
import type { Task } from './task.ts';

type Lesson = Pick<LessonOptions, 'name' | 'pictures' | 'settings'>;

/** What is done with a model that was learned: it is saved, made smaller, and looked at. */
export class Learned {
  readonly #place = byId('teach-learned', HTMLElement);
  readonly #task: Task;
  readonly #models: ModelFile[] = [];
  #lesson: Lesson | undefined;

  /** @param task of the panel @param inspect opens the other panel with models */
  constructor(task: Task, inspect: (models: readonly ModelFile[]) => Promise<void>) {
    this.#task = task;
    const onClick = (id: string, act: () => void) => byId(id, HTMLButtonElement).addEventListener('click', act);
    onClick('teach-save', () => this.#save(0));
    onClick('teach-save-smaller', () => this.#save(1));
    onClick('teach-smaller', () => void this.#makeSmaller());
    onClick('teach-preview', () => void this.#preview());
    onClick('teach-inspect', () => void inspect(this.#models));
  }

  show(model: ModelFile, lesson: Lesson): void {
    this.#lesson = lesson;
    this.#take([model]);
    for (const id of ['teach-bits', 'teach-comparison']) byId(id, HTMLElement).replaceChildren();
    this.#place.hidden = false;
  }

  hide(): void {
    this.#place.hidden = true;
  }

  #take(models: readonly ModelFile[]): void {
    this.#models.splice(0, Number.POSITIVE_INFINITY, ...models);
    byId('teach-save-smaller', HTMLButtonElement).disabled = models.length < 2;
  }

  #save(which: number): void {
    const { name, bytes } = this.#models[which]!;
    download(name, 'application/octet-stream', new Uint8Array(bytes));
  }

  async #makeSmaller(): Promise<void> {
    const [float, lesson] = [this.#models[0]!, this.#lesson!];
    await this.#task.run(async (control) => {
      const detector = await loadDetector(await engine(), float.bytes, { name: float.name, signal: control.signal });
      try {
        const { detector: smaller, allocation } = await makeSmaller(detector, lessonData(lesson), control);
        try {
          this.#take([float, { name: `${lesson.name}-small.safetensors`, bytes: await saveDetector(smaller) }]);
        } finally {
          smaller.destroy();
        }
        byId('teach-bits', HTMLElement).replaceChildren(bitsTable(allocation));
      } finally {
        detector.destroy();
      }
      const [before, after] = this.#models.map(({ bytes }) => `${(bytes.length / 1000).toFixed(0)} kB`);
      return `Made smaller: ${after} instead of ${before}.`;
    }, 'Stop');
  }

  async #preview(): Promise<void> {
    await this.#task.run(async (control) => {
      const pictures = plantedPictures(lessonData(this.#lesson!).heldOut);
      const shown = await compare(this.#models, pictures, control);
      const note = make('p', 'about', 'Good pictures that were not learned, each with a planted defect below it.');
      byId('teach-comparison', HTMLElement).replaceChildren(note, ...shown);
      return 'Compared.';
    }, 'Stop');
  }
}

function bitsTable({ rows, averageBits }: Allocation): HTMLElement {
  const number = (value: number) => (Number.isNaN(value) ? '-' : value.toFixed(3));
  return table(
    `Bits of every layer by its score, ${averageBits.toFixed(2)} on average`,
    ['layer', 'of', 'score', 'bits', 'bytes'],
    rows.map(({ layer, names, score, bits, bytes }) => [
      layer.slice(layer.indexOf('.') + 1),
      names.map((name) => name.split('.')[0]).join(', '),
      number(score),
      bits,
      bytes,
    ]),
    [2, 3, 4],
  );
}

import { UserError } from '../src/errors.ts';
import type { Allocation } from '../src/hqs/allocate.ts';
import { compare } from './comparison.ts';
import { byId, download, make, table } from './dom.ts';
import { lessonData, lessonOptions } from './learning.ts';
import { Begun, type Lesson } from './lessonStore.ts';
import type { ModelFile } from './models.ts';
import { plantedPictures } from './planted.ts';
import { makeSmaller } from './smaller.ts';
import type { Task } from './task.ts';

/** A model that was learned. */
export interface Taught {
  readonly lesson: Lesson;
  readonly model: ModelFile;
}

/** What is done with a model that was learned: it is saved, made smaller, and looked at. */
export class Learned {
  readonly #place = byId('teach-learned', HTMLElement);
  readonly #smaller = byId('teach-smaller', HTMLButtonElement);
  readonly #task: Task;
  readonly #models: ModelFile[] = [];
  #taught: Taught | undefined;
  /** What was paused while it was made smaller. */
  #begun: Begun | undefined;

  /** @param task of the panel @param inspect opens the other panel with models */
  constructor(task: Task, inspect: (models: readonly ModelFile[]) => Promise<void>) {
    this.#task = task;
    const onClick = (id: string, act: () => void) => byId(id, HTMLButtonElement).addEventListener('click', act);
    onClick('teach-save', () => this.#save(0));
    onClick('teach-save-smaller', () => this.#save(1));
    this.#smaller.addEventListener('click', () => void this.#makeSmaller());
    onClick('teach-preview', () => void this.#preview());
    onClick('teach-inspect', () => void inspect(this.#models));
  }

  /** @param begun what was paused, where the model is being made smaller */
  show(taught: Taught, begun?: Begun): void {
    this.#taught = taught;
    this.#begun = begun;
    this.#take([taught.model]);
    for (const id of ['teach-bits', 'teach-comparison']) byId(id, HTMLElement).replaceChildren();
    this.#place.hidden = false;
  }

  hide(): void {
    this.#place.hidden = true;
  }

  #take(models: readonly ModelFile[]): void {
    this.#models.splice(0, Number.POSITIVE_INFINITY, ...models);
    byId('teach-save-smaller', HTMLButtonElement).disabled = models.length < 2;
    this.#refresh();
  }

  #save(which: number): void {
    const { name, bytes } = this.#models[which]!;
    download(name, 'application/octet-stream', new Uint8Array(bytes));
  }

  #refresh(): void {
    this.#smaller.textContent = this.#begun ? 'Go on making it smaller' : 'Make it smaller';
  }

  async #makeSmaller(): Promise<void> {
    const { lesson, model } = this.#taught!;
    await this.#task.run(async (control) => {
      if (!this.#begun) {
        this.#begun = new Begun(lesson, model);
        await this.#begun.keep();
      }
      const begun = this.#begun;
      const smaller = await makeSmaller(begun, model, control).catch((error) => {
        // From what was kept nothing can go on, such as on another adapter: the next time begins anew.
        if (error instanceof UserError) this.#begun = undefined;
        throw error;
      });
      await begun.end();
      this.#begun = undefined;
      this.#take([model, smaller.model]);
      byId('teach-bits', HTMLElement).replaceChildren(bitsTable(smaller.allocation));
      const [before, after] = this.#models.map(({ bytes }) => `${(bytes.length / 1000).toFixed(0)} kB`);
      return `Made smaller: ${after} instead of ${before}.`;
    });
    this.#refresh();
  }

  async #preview(): Promise<void> {
    await this.#task.run(async (control) => {
      const pictures = plantedPictures(lessonData(lessonOptions(this.#taught!.lesson)).heldOut);
      const shown = await compare(this.#models, pictures, control);
      const note = make('p', 'about', 'Good pictures that were not learned, each with a planted defect below it.');
      const place = byId('teach-comparison', HTMLElement);
      place.replaceChildren(note, ...shown);
      place.scrollIntoView();
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

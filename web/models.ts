import { byId, make } from './dom.ts';

/** A model file that was read, by its name. */
export interface ModelFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The models that were taken, one of which is in use. */
export class ModelList {
  readonly #place = byId('inspect-models', HTMLElement);
  readonly #choice = byId('inspect-choice', HTMLSelectElement);
  readonly #models = new Map<string, ModelFile>();

  /** @param onChoice told which one is wanted */
  constructor(onChoice: (model: ModelFile) => void) {
    this.#choice.addEventListener('change', () => onChoice(this.#models.get(this.#choice.value)!));
  }

  /** In the order in which they came. */
  get all(): readonly ModelFile[] {
    return [...this.#models.values()];
  }

  /** The one in use. */
  get current(): ModelFile | undefined {
    return this.#models.get(this.#choice.value);
  }

  /** Takes a model into use, in the place of one of its name. */
  use(model: ModelFile): void {
    this.add(model);
    this.#choice.value = model.name;
  }

  /** Puts a model on the list. */
  add(model: ModelFile): void {
    const { value } = this.#choice;
    this.#models.set(model.name, model);
    this.#choice.replaceChildren(
      ...this.all.map(({ name }) => {
        const option = make('option', '', name);
        option.value = name;
        return option;
      }),
    );
    if (this.#models.has(value)) this.#choice.value = value;
    this.#place.hidden = false;
  }

  /** Shows again which one is in use, after another one could not be. */
  restore(model: ModelFile | undefined): void {
    if (model) this.#choice.value = model.name;
  }
}

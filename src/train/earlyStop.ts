import { Parameter } from '../engine/graph.ts';
import { UserError } from '../errors.ts';

/** When training ends before its last step: what is trained is judged now and then, and the best is kept. */
export interface EarlyStop {
  /** Steps between two looks; there is one after the last step, too. */
  readonly every: number;
  /** Looks without a better result after which training ends. */
  readonly patience: number;
  /** How good the networks are now, more is better. */
  readonly judge: () => Promise<number>;
}

/** @throws UserError for numbers that are none */
export function checkEarlyStop({ every, patience }: Pick<EarlyStop, 'every' | 'patience'>): void {
  for (const [name, value] of Object.entries({ every, patience }))
    if (!Number.isSafeInteger(value) || value < 1)
      throw new UserError(`early stopping: ${name} ${value} cannot be used.`, 'Give a whole number from 1 on.');
}

/** The best of what training has passed through: values of the host, which checkpoints keep. */
export class BestSnapshot {
  readonly #stop: EarlyStop;
  readonly #trained: readonly Parameter[];
  readonly #copies: readonly Parameter[];
  /** [4]: whether there is one, its figure, its step, and looks since then. */
  readonly #state = new Parameter('best.state', { shape: [4], dtype: 'f32' });

  constructor(stop: EarlyStop, trained: readonly Parameter[]) {
    checkEarlyStop(stop);
    this.#stop = stop;
    this.#trained = trained;
    this.#copies = trained.map(({ name, type }) => new Parameter(`best.${name}`, type));
  }

  /** What a checkpoint has to hold beside the training. */
  get parameters(): readonly Parameter[] {
    return [...this.#copies, this.#state];
  }

  /** Steps that the best has seen. */
  get steps(): number {
    return this.#state.data[2]!;
  }

  /**
   * Judges what is trained, whose values are on the host.
   * @param step done
   * @returns whether training has to end
   */
  async look(step: number): Promise<boolean> {
    const [isThere, figure, best, misses] = this.#state.data as unknown as [number, number, number, number];
    const now = Math.fround(await this.#stop.judge());
    if (isThere && !(now > figure)) {
      this.#state.data = Float32Array.of(1, figure, best, misses + 1);
      return misses + 1 >= this.#stop.patience;
    }
    this.#state.data = Float32Array.of(1, now, step, 0);
    this.#trained.forEach(({ data }, i) => {
      this.#copies[i]!.data = data.slice();
    });
    return false;
  }

  /** Gives what is trained the values of the best. They have to be released on the device before they are used again. */
  restore(): void {
    this.#trained.forEach((parameter, i) => {
      parameter.data = this.#copies[i]!.data.slice();
    });
  }
}

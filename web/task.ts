import { UserError } from '../src/errors.ts';
import { make } from './dom.ts';

/** What work gets to be stopped and watched by. */
export interface TaskControl {
  readonly signal: AbortSignal;
  /** @param total what `done` grows to; unknown when absent */
  progress(text: string, done?: number, total?: number): void;
}

/** What the button of something that runs says, and what is said when it was pressed. */
const STOPPED = { Stop: 'Stopped.', Pause: 'Paused.' } as const;
type StopWord = keyof typeof STOPPED;

/** One sentence for whatever went wrong, with what to do about it. */
export function sentence(error: unknown): string {
  if (error instanceof UserError) {
    const text = `${error.message}${error.fix ? ` ${error.fix}` : ''}`;
    // A file's name in front stays as it is.
    return text.replace(/^[a-z]+(?= )/, (word) => word.charAt(0).toUpperCase() + word.slice(1));
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** One thing at a time that a panel does: its progress, a button that stops it, and how it ended. */
export class Task {
  readonly #text = make('p', '');
  readonly #bar = make('progress', '');
  readonly #stop: HTMLButtonElement;
  readonly #stopWord: StopWord;
  #running: { readonly stop: AbortController; readonly end: Promise<void> } | undefined;

  /** @param place an empty element @param stop what its button says */
  constructor(place: HTMLElement, stop: StopWord = 'Stop') {
    this.#stop = make('button', '');
    this.#stopWord = stop;
    this.#text.setAttribute('role', 'status');
    this.#bar.setAttribute('aria-label', 'Progress');
    this.#stop.type = 'button';
    this.#stop.addEventListener('click', () => this.stop());
    place.append(this.#bar, this.#stop, this.#text);
    this.#show(false);
  }

  /** Whether something is running. */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  stop(): void {
    this.#running?.stop.abort();
  }

  /** Shows a sentence while nothing is running. */
  say(text: string): void {
    this.#text.textContent = text;
    this.#text.className = '';
  }

  /** Shows what went wrong. */
  fail(error: unknown): void {
    this.#text.textContent = sentence(error);
    this.#text.className = 'wrong';
  }

  /**
   * Stops what is running, and does this. What it throws is shown.
   * @param work returns the sentence to show at its end
   * @param stop what the button says meanwhile
   * @returns whether it came to its end
   */
  async run(work: (control: TaskControl) => Promise<string>, stop = this.#stopWord): Promise<boolean> {
    while (this.#running) {
      this.stop();
      await this.#running.end;
    }
    this.#stop.textContent = stop;
    const controller = new AbortController();
    let ended = () => {};
    this.#running = {
      stop: controller,
      end: new Promise((resolve) => {
        ended = resolve;
      }),
    };
    this.#show(true);
    try {
      this.say(await work({ signal: controller.signal, progress: (...report) => this.#progress(...report) }));
      return true;
    } catch (error) {
      if (controller.signal.aborted) this.say(STOPPED[stop]);
      else this.fail(error);
      return false;
    } finally {
      this.#running = undefined;
      this.#show(false);
      ended();
    }
  }

  #progress(text: string, done?: number, total?: number): void {
    this.say(text);
    if (done === undefined || total === undefined) this.#bar.removeAttribute('value');
    else {
      this.#bar.max = Math.max(total, 1);
      this.#bar.value = done;
    }
  }

  #show(isRunning: boolean): void {
    this.#bar.hidden = !isRunning;
    this.#stop.hidden = !isRunning;
  }
}

import { formatScore } from '../src/report/heatmap.ts';
import { byId, make } from './dom.ts';
import type { Picture } from './pictures.ts';
import { showVerdict } from './viewer.ts';

interface Row {
  readonly element: HTMLTableRowElement;
  readonly verdict: HTMLElement;
  readonly score: number;
}

/** The pictures that were scored; one is chosen by its name. */
export class ScoreTable {
  readonly #table = byId('inspect-table', HTMLTableElement);
  readonly #body = this.#table.tBodies[0]!;
  readonly #rows = new Map<Picture, Row>();
  readonly #onChoice: (picture: Picture) => void;
  #threshold: number | undefined;

  constructor(onChoice: (picture: Picture) => void) {
    this.#onChoice = onChoice;
  }

  /** The pictures whose scores do not exceed the threshold. */
  get normal(): readonly Picture[] {
    const threshold = this.#threshold ?? Number.POSITIVE_INFINITY;
    return [...this.#rows].flatMap(([picture, { score }]) => (score > threshold ? [] : [picture]));
  }

  clear(): void {
    this.#rows.clear();
    this.#body.replaceChildren();
    this.#table.hidden = true;
  }

  add(picture: Picture, score: number): void {
    const choice = make('button', '', picture.name);
    choice.type = 'button';
    choice.addEventListener('click', () => this.#onChoice(picture));
    const verdict = make('td', '');
    const element = make('tr', '', make('td', '', choice), make('td', 'number', formatScore(score)), verdict);
    showVerdict(verdict, score, this.#threshold);
    this.#rows.set(picture, { element, verdict, score });
    this.#append(element);
  }

  /** A picture without a score. */
  refuse(picture: Picture, why: string): void {
    this.#append(make('tr', '', make('td', '', picture.name), make('td', 'number', '-'), make('td', '', why)));
  }

  /** Shows which picture is looked at. */
  mark(picture: Picture): void {
    for (const [each, { element }] of this.#rows) {
      if (each === picture) element.setAttribute('aria-current', 'true');
      else element.removeAttribute('aria-current');
    }
  }

  /** Verdicts by another threshold. */
  judge(threshold: number | undefined): void {
    this.#threshold = threshold;
    for (const { verdict, score } of this.#rows.values()) showVerdict(verdict, score, threshold);
  }

  #append(row: HTMLTableRowElement): void {
    this.#body.append(row);
    this.#table.hidden = false;
  }
}

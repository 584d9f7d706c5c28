import { LOSS_NAMES, type LossName } from '../src/train/step.ts';
import { byId, make } from './dom.ts';

const WIDTH = 600;
const HEIGHT = 220;
const LEFT = 52;
const BOTTOM = 24;

interface Point {
  readonly step: number;
  readonly losses: Readonly<Record<LossName, number>>;
}

/** In the words of a reader. */
const LABELS: Readonly<Record<LossName, string>> = {
  hard: 'student, hard',
  penalty: 'penalty',
  autoencoder: 'autoencoder',
  studentAutoencoder: 'student of the autoencoder',
};

/** The losses while a detector learns, over steps, on a logarithmic scale. */
export class LossCurve {
  readonly #place = byId('teach-curve', HTMLElement);
  readonly #svg = this.#place.querySelector('svg')!;
  readonly #legend = this.#place.querySelector('figcaption')!;
  readonly #points: Point[] = [];
  #steps = 1;

  clear(steps: number): void {
    this.#points.length = 0;
    this.#steps = steps;
    this.#place.hidden = true;
  }

  add(step: number, losses: Point['losses']): void {
    this.#points.push({ step, losses });
    this.#place.hidden = false;
    this.#draw();
  }

  #draw(): void {
    const values = this.#points.flatMap(({ losses }) => LOSS_NAMES.map((name) => losses[name])).filter((v) => v > 0);
    if (values.length === 0) return;
    const low = Math.floor(Math.log10(Math.min(...values)));
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
    const y = (power: number) => (HEIGHT - BOTTOM) * (1 - (power - low) / (high - low)) + 4;
    const x = (step: number) => LEFT + ((WIDTH - LEFT - 4) * step) / this.#steps;
    const grid = Array.from({ length: high - low + 1 }, (_, i) => [
      svg('line', { class: 'axis', x1: LEFT, x2: WIDTH, y1: y(low + i), y2: y(low + i) }),
      svg('text', { x: 0, y: y(low + i) + 4 }, `1e${low + i}`),
    ]).flat();
    const ends = [0, this.#steps].map((step, i) =>
      svg('text', { x: x(step), y: HEIGHT - 4, 'text-anchor': i === 0 ? 'start' : 'end' }, String(step)),
    );
    const lines = LOSS_NAMES.map((name, i) => {
      const shown = this.#points.filter(({ losses }) => losses[name] > 0);
      const points = shown.map(({ step, losses }) => `${x(step)},${y(Math.log10(losses[name]))}`);
      // A line to itself is a dot: there is something to see from the first report on.
      return svg('polyline', { class: `loss loss-${i + 1}`, points: [...points, ...points.slice(-1)].join(' ') });
    });
    this.#svg.replaceChildren(...grid, ...ends, ...lines);
    const last = this.#points.at(-1)!.losses;
    this.#legend.replaceChildren(
      ...LOSS_NAMES.map((name, i) => make('span', `loss-${i + 1}`, `${LABELS[name]} ${last[name].toPrecision(3)}`)),
    );
  }
}

function svg(tag: string, attributes: Readonly<Record<string, string | number>>, text = ''): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.textContent = text;
  return made;
}

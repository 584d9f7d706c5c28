import type { RgbImage } from '../src/data/image.ts';
import type { Prediction } from '../src/detector/detector.ts';
import type { DetectorState } from '../src/detector/detectorState.ts';
import { heatmapRange } from '../src/detector/heatmapRange.ts';
import { formatScore, overlayHeatmap, renderHeatmap } from '../src/report/heatmap.ts';
import { drawOn } from './canvas.ts';
import { byId } from './dom.ts';

interface Shown {
  readonly name: string;
  readonly image: RgbImage;
  readonly prediction: Prediction;
}

const verdictOf = (score: number, threshold: number) => (score > threshold ? 'anomalous' : 'normal');

/** Says what a score means; nothing without a threshold. */
export function showVerdict(place: HTMLElement, score: number, threshold: number | undefined): void {
  const verdict = threshold === undefined ? '' : verdictOf(score, threshold);
  place.textContent = verdict;
  place.className = verdict && `verdict-${verdict}`;
}

/** A picture under its heat map, with opacity and threshold to choose. */
export class Viewer {
  readonly #place = byId('inspect-viewer', HTMLElement);
  readonly #picture = byId('inspect-picture', HTMLCanvasElement);
  readonly #map = byId('inspect-map', HTMLCanvasElement);
  readonly #opacity = byId('inspect-opacity', HTMLInputElement);
  readonly #slider = byId('inspect-threshold', HTMLInputElement);
  readonly #onThreshold: (threshold: number) => void;
  #range = heatmapRange({});
  #shown: Shown | undefined;

  /** @param onThreshold told about every threshold that is chosen */
  constructor(onThreshold: (threshold: number) => void) {
    this.#onThreshold = onThreshold;
    this.#opacity.addEventListener('input', () => this.#fade());
    this.#slider.addEventListener('input', () => this.#judge());
    byId('inspect-reset', HTMLButtonElement).addEventListener('click', () => this.#setThreshold(this.#range.threshold));
    this.#fade();
  }

  /** The picture that is looked at. */
  get shown(): Shown {
    if (!this.#shown) throw new Error('there is no picture yet');
    return this.#shown;
  }

  /** Takes range and threshold of another detector, and shows no picture. */
  use(state: DetectorState): void {
    this.#range = heatmapRange(state);
    this.#shown = undefined;
    this.#place.hidden = true;
    this.#slider.max = String(this.#range.high);
    this.#setThreshold(this.#range.threshold);
  }

  /** Makes a score reachable by the threshold. */
  allow(score: number): void {
    if (score > Number(this.#slider.max)) this.#slider.max = String(score);
  }

  show(name: string, image: RgbImage, prediction: Prediction): void {
    this.#shown = { name, image, prediction };
    this.#place.hidden = false;
    this.allow(prediction.score);
    drawOn(this.#picture, image);
    byId('inspect-name', HTMLElement).textContent = name;
    byId('inspect-score', HTMLOutputElement).value = formatScore(prediction.score);
    this.#draw();
  }

  /** The heat map as a picture with a legend. */
  async rendered(): Promise<{ readonly name: string; readonly image: RgbImage }> {
    const { name, image, prediction } = this.shown;
    const { score, map } = prediction;
    const threshold = this.#threshold;
    const verdict = verdictOf(score, threshold);
    return { name, image: renderHeatmap({ image, map, ...this.#range, threshold, title: name, score, verdict }) };
  }

  get #threshold(): number {
    return Number(this.#slider.value);
  }

  #setThreshold(threshold: number): void {
    this.#slider.value = String(threshold);
    this.#judge();
  }

  #judge(): void {
    byId('inspect-threshold-value', HTMLOutputElement).value = formatScore(this.#threshold);
    this.#onThreshold(this.#threshold);
    if (this.#shown) this.#draw();
  }

  #draw(): void {
    const { image, prediction } = this.shown;
    const threshold = this.#threshold;
    drawOn(this.#map, overlayHeatmap({ image, map: prediction.map, ...this.#range, threshold }));
    showVerdict(byId('inspect-verdict', HTMLElement), prediction.score, threshold);
  }

  #fade(): void {
    this.#map.style.opacity = this.#opacity.value;
  }
}

import type { RgbImage } from '../src/data/image.ts';
import type { Prediction } from '../src/detector/detector.ts';
import type { DetectorState } from '../src/detector/detectorState.ts';
import { heatmapRange } from '../src/detector/heatmapRange.ts';
import { formatScore, type HeatmapInput, overlayHeatmap, renderHeatmap, resizeHeatmap } from '../src/report/heatmap.ts';
import { drawOn } from './canvas.ts';
import { byId } from './dom.ts';

interface Shown {
  readonly name: string;
  readonly image: RgbImage;
  readonly prediction: Prediction;
}

/** Longest side at which a heat map is drawn: a screen shows hardly more, and a slider that is moved draws it again and again. */
const DRAWN_SIDE = 640;

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
  /** What is drawn of it. */
  #drawn: HeatmapInput | undefined;
  #isDue = false;

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
    this.#drawn = undefined;
    this.#place.hidden = false;
    this.allow(prediction.score);
    drawOn(this.#picture, image);
    byId('inspect-name', HTMLElement).textContent = name;
    byId('inspect-score', HTMLOutputElement).value = formatScore(prediction.score);
    this.#judgeShown();
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
    if (this.#shown) this.#judgeShown();
  }

  #judgeShown(): void {
    showVerdict(byId('inspect-verdict', HTMLElement), this.shown.prediction.score, this.#threshold);
    this.#schedule();
  }

  /** Draws with the next frame, once for all that has changed until then. */
  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      if (this.#shown) this.#draw();
    });
  }

  #draw(): void {
    const { image, prediction } = this.shown;
    const threshold = this.#threshold;
    if (!this.#drawn) {
      const { width, height } = image;
      const scale = Math.min(1, DRAWN_SIDE / Math.max(width, height));
      const whole = { image, map: prediction.map, ...this.#range, threshold };
      this.#drawn = resizeHeatmap(whole, Math.ceil(width * scale), Math.ceil(height * scale));
      // Shrinking a large picture is enough for one task.
      if (scale < 1) {
        this.#schedule();
        return;
      }
    }
    drawOn(this.#map, overlayHeatmap({ ...this.#drawn, ...this.#range, threshold }));
  }

  #fade(): void {
    this.#map.style.opacity = this.#opacity.value;
  }
}

import type { RegionOfInterest } from '../src/imaging/region.ts';
import type { CornerEditor } from './corners.ts';
import { byId } from './dom.ts';

/** What is left out on every side of a region that is about to be chosen: a share of the picture. */
const MARGIN = 0.1;

/** Whether pictures are looked at as a whole, or in a region whose corners can be moved. */
export class RegionChoice {
  readonly #box = byId('inspect-region', HTMLInputElement);
  /** What is there with a region alone. */
  readonly #belonging = ['inspect-save-model', 'inspect-region-note'].map((id) => byId(id, HTMLElement));
  readonly #onChange: (region: RegionOfInterest | undefined) => void;
  #editor: Promise<CornerEditor> | undefined;
  #size: { readonly width: number; readonly height: number } | undefined;
  #region: RegionOfInterest | undefined;

  /** @param onChange told about every region that is chosen, and when there is none any more */
  constructor(onChange: (region: RegionOfInterest | undefined) => void) {
    this.#onChange = onChange;
    this.#box.addEventListener('change', () => this.#choose(this.#box.checked ? this.#inner() : undefined));
  }

  /** Shows the region of a detector. */
  use(region: RegionOfInterest | undefined): void {
    this.#region = region;
    this.#box.checked = region !== undefined;
    for (const element of this.#belonging) element.hidden = !region;
    void this.#show();
  }

  /** A detector that looks at tiles has none. */
  allow(isPossible: boolean): void {
    this.#box.disabled = !isPossible;
  }

  /** Takes the size of the picture that is looked at. */
  fit({ width, height }: { readonly width: number; readonly height: number }): void {
    this.#size = { width, height };
  }

  #choose(region: RegionOfInterest | undefined): void {
    this.use(region);
    this.#onChange(region);
  }

  #inner(): RegionOfInterest | undefined {
    if (!this.#size) return undefined;
    const { width, height } = this.#size;
    const [left, top] = [Math.round(MARGIN * width), Math.round(MARGIN * height)];
    const [right, bottom] = [width - left, height - top];
    return {
      width,
      height,
      corners: [
        [left, top],
        [right, top],
        [right, bottom],
        [left, bottom],
      ],
    };
  }

  async #show(): Promise<void> {
    // Only those who choose a region load its geometry.
    if (!this.#region && !this.#editor) return;
    this.#editor ??= import('./corners.ts').then(({ CornerEditor }) => {
      const svg = document.querySelector<SVGSVGElement>('#inspect-corners')!;
      return new CornerEditor(svg, (region) => this.#choose(region));
    });
    const editor = await this.#editor;
    editor.show(this.#region);
  }
}

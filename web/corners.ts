import { checkRegion, type Point, type RegionOfInterest } from '../src/imaging/region.ts';

const SVG = 'http://www.w3.org/2000/svg';
const NAMES = ['Upper left', 'Upper right', 'Lower right', 'Lower left'] as const;
const KEYS: Readonly<Record<string, Point>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
/** Pixels by an arrow key, and with Shift. */
const STEPS = [1, 10] as const;

type Corners = RegionOfInterest['corners'];

/** Four corners over a picture, moved by a pointer or the arrow keys. They stay a convex shape within the picture. */
export class CornerEditor {
  readonly #svg: SVGSVGElement;
  readonly #outline: SVGElement;
  readonly #handles: readonly SVGElement[];
  readonly #onChange: (region: RegionOfInterest) => void;
  #region: RegionOfInterest | undefined;
  /** Whether corners were moved since the last change that was told. */
  #isMoved = false;

  /** @param onChange told when a corner was let go */
  constructor(svg: SVGSVGElement, onChange: (region: RegionOfInterest) => void) {
    this.#svg = svg;
    this.#onChange = onChange;
    this.#outline = document.createElementNS(SVG, 'polygon');
    this.#handles = NAMES.map((_, i) => this.#handle(i));
    svg.setAttribute('role', 'group');
    svg.append(this.#outline, ...this.#handles);
  }

  /** Shows a region; nothing without one. */
  show(region: RegionOfInterest | undefined): void {
    this.#region = region;
    this.#svg.toggleAttribute('hidden', !region);
    if (!region) return;
    const { width, height, corners } = region;
    this.#svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.#outline.setAttribute('points', corners.join(' '));
    for (const [i, handle] of this.#handles.entries()) {
      const [x, y] = corners[i]!;
      // A line without length is a dot whose size does not depend on the picture's scale.
      handle.setAttribute('d', `M${x} ${y}h0`);
      handle.setAttribute('aria-label', `${NAMES[i]} corner at ${x}, ${y}: arrow keys move it`);
    }
  }

  #handle(index: number): SVGElement {
    const handle = document.createElementNS(SVG, 'path');
    handle.setAttribute('tabindex', '0');
    handle.setAttribute('role', 'button');
    handle.addEventListener('pointerdown', (event) => {
      handle.setPointerCapture(event.pointerId);
      handle.focus();
      event.preventDefault();
    });
    handle.addEventListener('pointermove', (event) => {
      if (handle.hasPointerCapture(event.pointerId)) this.#move(index, this.#pointOf(event));
    });
    handle.addEventListener('lostpointercapture', () => this.#tell());
    handle.addEventListener('keydown', (event) => {
      const way = KEYS[event.key];
      if (!way || !this.#region) return;
      event.preventDefault();
      const step = STEPS[event.shiftKey ? 1 : 0];
      const [x, y] = this.#region.corners[index]!;
      this.#move(index, [x + step * way[0], y + step * way[1]]);
    });
    handle.addEventListener('keyup', (event) => {
      if (KEYS[event.key]) this.#tell();
    });
    handle.addEventListener('blur', () => this.#tell());
    return handle;
  }

  /** Where a pointer is in the picture. */
  #pointOf({ clientX, clientY }: PointerEvent): Point {
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(this.#svg.getScreenCTM()!.inverse());
    return [x, y];
  }

  #move(index: number, [x, y]: Point): void {
    const { width, height, corners } = this.#region!;
    const within = (at: number, end: number) => Math.min(Math.max(Math.round(at), 0), end);
    const moved = corners.with(index, [within(x, width), within(y, height)]) as unknown as Corners;
    const region = { width, height, corners: moved };
    if (!isRegion(region)) return;
    this.#isMoved = true;
    this.show(region);
  }

  #tell(): void {
    if (!this.#isMoved) return;
    this.#isMoved = false;
    this.#onChange(this.#region!);
  }
}

function isRegion(region: RegionOfInterest): boolean {
  try {
    checkRegion(region);
    return true;
  } catch {
    return false;
  }
}

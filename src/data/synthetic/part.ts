import type { Random } from '../../math/random.ts';
import type { Surface } from './surface.ts';

/**
 * A kind of workpiece. Its layout holds everything that may differ between two flawless specimens (pose, texture seeds,
 * small tolerances) and whatever a defect may rearrange.
 */
export interface Part<Layout> {
  readonly defects: Readonly<Record<string, Defect<Layout>>>;
  /** Draws a flawless specimen. */
  layout(random: Random): Layout;
  /** Paints a specimen; two equal layouts give equal surfaces. */
  paint(surface: Surface, layout: Layout): void;
}

/** A defect changes the layout before painting (`reshape`), or the painted surface (`mark`). */
export type Defect<Layout> =
  | { reshape(layout: Layout, random: Random): Layout }
  | { mark(surface: Surface, layout: Layout, random: Random): void };

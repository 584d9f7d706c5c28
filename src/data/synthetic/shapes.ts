/** Signed distances to plane shapes (negative inside), in the units of their arguments. */

import { clamp, length } from './arithmetic.ts';

export function boxDistance(x: number, y: number, halfWidth: number, halfHeight: number, radius: number): number {
  const qx = Math.abs(x) - halfWidth + radius;
  const qy = Math.abs(y) - halfHeight + radius;
  return length(Math.max(qx, 0), Math.max(qy, 0)) + Math.min(Math.max(qx, qy), 0) - radius;
}

/** Regular hexagon with a flat side to the right; `apothem` is the distance from the center to a side. */
export function hexagonDistance(x: number, y: number, apothem: number): number {
  const ax = Math.abs(x);
  return Math.max(ax, 0.5 * ax + 0.8660254037844386 * Math.abs(y)) - apothem;
}

/** Distance to the line segment from (ax, ay) to (bx, by). */
export function segmentDistance(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
  const dx = bx - ax;
  const dy = by - ay;
  const squared = dx * dx + dy * dy;
  const t = squared === 0 ? 0 : clamp(((x - ax) * dx + (y - ay) * dy) / squared, 0, 1);
  return length(x - ax - t * dx, y - ay - t * dy);
}

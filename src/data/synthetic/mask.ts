/** A change of this many 8-bit steps in a channel shows against the noise, and one of half of it next to such a pixel. */
const VISIBLE = 12;
/** Visible specks smaller than this share of the picture are none of a defect's business. */
const SPECK = 1 / 8192;

/**
 * Where two noise-free pictures of one scene (HWC RGB, size x size, 8-bit steps) differ visibly in rows `from`..`to`
 * (exclusive): 255 there, else 0. A region counts when it is connected (8 neighbors), reaches the visible step somewhere
 * and is no speck; pinholes are filled. Undefined when nothing counts.
 */
export function differenceMask(
  before: Float32Array,
  after: Float32Array,
  size: number,
  from: number,
  to: number,
): Uint8Array | undefined {
  const change = new Float32Array(size * size);
  for (let pixel = from * size; pixel < to * size; pixel++) {
    const red = Math.abs(after[3 * pixel]! - before[3 * pixel]!);
    const green = Math.abs(after[3 * pixel + 1]! - before[3 * pixel + 1]!);
    const blue = Math.abs(after[3 * pixel + 2]! - before[3 * pixel + 2]!);
    change[pixel] = Math.max(red, green, blue);
  }
  const speck = Math.max(3, Math.round(size * size * SPECK));
  const mask = new Uint8Array(size * size);
  let any = false;
  const faint = change.map((step) => (step >= VISIBLE / 2 ? 1 : 0));
  for (const region of regions(faint, 1, size, 8)) {
    if (region.length < speck || !region.some((pixel) => change[pixel]! >= VISIBLE)) continue;
    for (const pixel of region) mask[pixel] = 255;
    any = true;
  }
  if (!any) return undefined;
  for (const region of regions(mask, 0, size, 4)) {
    if (region.length < speck) for (const pixel of region) mask[pixel] = 255;
  }
  return mask;
}

/** Connected regions of the pixels of one value, with 4 or 8 neighbors. */
function regions(plane: Float32Array | Uint8Array, value: number, size: number, neighbors: 4 | 8): Int32Array[] {
  const found: Int32Array[] = [];
  const seen = new Uint8Array(plane.length);
  const queue = new Int32Array(plane.length);
  for (let start = 0; start < plane.length; start++) {
    if (plane[start] !== value || seen[start] === 1) continue;
    seen[start] = 1;
    queue[0] = start;
    let count = 1;
    for (let next = 0; next < count; next++) {
      const pixel = queue[next]!;
      const x = pixel % size;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          if (neighbors === 4 && dx !== 0 && dy !== 0) continue;
          const other = pixel + dy * size + dx;
          if (x + dx < 0 || x + dx >= size || other < 0 || other >= plane.length) continue;
          if (plane[other] !== value || seen[other] === 1) continue;
          seen[other] = 1;
          queue[count++] = other;
        }
      }
    }
    found.push(queue.slice(0, count));
  }
  return found;
}

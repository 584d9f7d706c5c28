/**
 * Connected components of a mask [height, width] with 8-connectivity; non-zero is foreground.
 * @returns the indices of each component's pixels
 */
export function connectedComponents(mask: ArrayLike<number>, width: number, height: number): Uint32Array[] {
  const visited = new Uint8Array(width * height);
  const components: Uint32Array[] = [];
  for (let first = 0; first < visited.length; first++) {
    if (!mask[first] || visited[first]) continue;
    visited[first] = 1;
    const pixels = [first];
    // The list is its own queue: what has been found is walked in order.
    for (let i = 0; i < pixels.length; i++) {
      const x = pixels[i]! % width;
      const y = (pixels[i]! - x) / width;
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, height - 1); v++) {
        for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, width - 1); u++) {
          const near = v * width + u;
          if (!mask[near] || visited[near]) continue;
          visited[near] = 1;
          pixels.push(near);
        }
      }
    }
    components.push(Uint32Array.from(pixels));
  }
  return components;
}

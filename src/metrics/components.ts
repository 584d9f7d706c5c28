/**
 * Connected components of a mask [height, width] with 8-connectivity; non-zero is foreground.
 * @returns the indices of each component's pixels
 */
export function connectedComponents(mask: ArrayLike<number>, width: number, height: number): Uint32Array[] {
  const visited = new Uint8Array(width * height);
  const components: Uint32Array[] = [];
  // Pixels of a component in the order in which they were found: it is its own queue.
  let queue = new Uint32Array(1024);
  for (let first = 0; first < visited.length; first++) {
    if (!mask[first] || visited[first]) continue;
    visited[first] = 1;
    queue[0] = first;
    let found = 1;
    for (let i = 0; i < found; i++) {
      const x = queue[i]! % width;
      const y = (queue[i]! - x) / width;
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, height - 1); v++) {
        for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, width - 1); u++) {
          const near = v * width + u;
          if (!mask[near] || visited[near]) continue;
          visited[near] = 1;
          if (found === queue.length) queue = lengthened(queue);
          queue[found++] = near;
        }
      }
    }
    components.push(queue.slice(0, found));
  }
  return components;
}

function lengthened(values: Uint32Array): Uint32Array<ArrayBuffer> {
  const longer = new Uint32Array(2 * values.length);
  longer.set(values);
  return longer;
}

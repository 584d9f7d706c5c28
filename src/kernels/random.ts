/** Counter-based random word, equal to `randomWords(vec4u(a, b, c, d)).x` of shaders/snippets/random.wgsl. */
export function randomWord(a: number, b: number, c: number, d: number): number {
  // Without arrays or closures: the initial weights of a network take some hundred thousand words.
  let x = congruential(a);
  let y = congruential(b);
  let z = congruential(c);
  let w = congruential(d);
  x = (x + Math.imul(y, w)) | 0;
  y = (y + Math.imul(z, x)) | 0;
  z = (z + Math.imul(x, y)) | 0;
  w = (w + Math.imul(y, z)) | 0;
  x ^= x >>> 16;
  y ^= y >>> 16;
  z ^= z >>> 16;
  w ^= w >>> 16;
  x = (x + Math.imul(y, w)) | 0;
  return x >>> 0;
}

function congruential(value: number): number {
  return (Math.imul(value, 1664525) + 1013904223) | 0;
}

/** Uniform in [0, 1), by counter. */
export function randomUniform(a: number, b: number, c: number, d: number): number {
  return randomWord(a, b, c, d) / 2 ** 32;
}

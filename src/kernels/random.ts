/** Counter-based random word, equal to `randomWords(vec4u(a, b, c, d)).x` of shaders/snippets/random.wgsl. */
export function randomWord(a: number, b: number, c: number, d: number): number {
  let [x, y, z, w] = [a, b, c, d].map((v) => (Math.imul(v, 1664525) + 1013904223) | 0) as [
    number,
    number,
    number,
    number,
  ];
  const mix = () => {
    x = (x + Math.imul(y, w)) | 0;
    y = (y + Math.imul(z, x)) | 0;
    z = (z + Math.imul(x, y)) | 0;
    w = (w + Math.imul(y, z)) | 0;
  };
  mix();
  x ^= x >>> 16;
  y ^= y >>> 16;
  z ^= z >>> 16;
  w ^= w >>> 16;
  mix();
  return x >>> 0;
}

/** Uniform in [0, 1), by counter. */
export function randomUniform(a: number, b: number, c: number, d: number): number {
  return randomWord(a, b, c, d) / 2 ** 32;
}

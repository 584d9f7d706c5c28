/**
 * Linear centered kernel alignment of two sets of features of the same samples (Kornblith et al. 2019), from their Gram
 * matrices.
 * @param a @param b [n, n], products of the samples' features
 * @param indices samples to take, with repetitions; all by default
 * @returns in [0, 1]; 0 for constant features
 */
export function linearCka(a: Float64Array, b: Float64Array, n: number, indices?: ArrayLike<number>): number {
  const x = centered(a, n, indices);
  const y = centered(b, n, indices);
  const product = inner(x, y);
  const norm = Math.sqrt(inner(x, x) * inner(y, y));
  return norm > 0 ? product / norm : 0;
}

function inner(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Rows and columns without their means. */
function centered(gram: Float64Array, n: number, indices: ArrayLike<number> | undefined): Float64Array {
  const m = indices?.length ?? n;
  const at = (i: number) => indices?.[i] ?? i;
  const result = new Float64Array(m * m);
  const means = new Float64Array(m);
  let total = 0;
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < m; j++) {
      const value = gram[at(i) * n + at(j)]!;
      result[i * m + j] = value;
      means[i]! += value / m;
    }
    total += means[i]! / m;
  }
  for (let i = 0; i < m; i++) for (let j = 0; j < m; j++) result[i * m + j]! += total - means[i]! - means[j]!;
  return result;
}

/** Products of all pairs of feature vectors. @returns [n, n] */
export function gramMatrix(features: readonly Float32Array[]): Float64Array {
  const n = features.length;
  const gram = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const a = features[i]!;
      const b = features[j]!;
      let sum = 0;
      for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
      gram[i * n + j] = sum;
      gram[j * n + i] = sum;
    }
  }
  return gram;
}

/** Weight of the identity, as a share of the mean variance. */
const RIDGE = 1e-3;

/** Ridge regression between channels, with an intercept, from any number of positions in bounded memory. */
export class RidgeRegression {
  readonly #inputs: number;
  readonly #targets: number;
  /** Sums of products of [inputs, 1] with themselves, and with the targets. */
  readonly #squares: Float64Array;
  readonly #products: Float64Array;
  #count = 0;

  constructor(inputs: number, targets: number) {
    this.#inputs = inputs;
    this.#targets = targets;
    this.#squares = new Float64Array((inputs + 1) ** 2);
    this.#products = new Float64Array((inputs + 1) * targets);
  }

  /** @param x [inputs, positions] @param y [targets, positions] */
  add(x: Float32Array, y: Float32Array): void {
    const positions = x.length / this.#inputs;
    const n = this.#inputs + 1;
    const t = this.#targets;
    const row = new Float64Array(n);
    row[n - 1] = 1;
    for (let p = 0; p < positions; p++) {
      for (let i = 0; i < n - 1; i++) row[i] = x[i * positions + p]!;
      for (let i = 0; i < n; i++) {
        const value = row[i]!;
        if (value === 0) continue;
        for (let j = 0; j <= i; j++) this.#squares[i * n + j]! += value * row[j]!;
        for (let j = 0; j < t; j++) this.#products[i * t + j]! += value * y[j * positions + p]!;
      }
    }
    this.#count += positions;
  }

  /** @returns weights [targets, inputs] and bias [targets] of the least regularised squared error */
  solve(): { readonly weight: Float32Array; readonly bias: Float32Array } {
    const n = this.#inputs + 1;
    const t = this.#targets;
    let trace = 0;
    for (let i = 0; i < n - 1; i++) trace += this.#squares[i * n + i]!;
    const ridge = (RIDGE * trace) / (n - 1) + 1e-12 * this.#count;
    const factor = cholesky(this.#squares, n, (i) => (i < n - 1 ? ridge : 1e-12 * this.#count));
    const solution = this.#products.slice();
    for (let j = 0; j < t; j++) {
      for (let i = 0; i < n; i++) {
        let sum = solution[i * t + j]!;
        for (let k = 0; k < i; k++) sum -= factor[i * n + k]! * solution[k * t + j]!;
        solution[i * t + j] = sum / factor[i * n + i]!;
      }
      for (let i = n - 1; i >= 0; i--) {
        let sum = solution[i * t + j]!;
        for (let k = i + 1; k < n; k++) sum -= factor[k * n + i]! * solution[k * t + j]!;
        solution[i * t + j] = sum / factor[i * n + i]!;
      }
    }
    const weight = new Float32Array(t * (n - 1));
    for (let j = 0; j < t; j++) for (let i = 0; i < n - 1; i++) weight[j * (n - 1) + i] = solution[i * t + j]!;
    return { weight, bias: Float32Array.from({ length: t }, (_, j) => solution[(n - 1) * t + j]!) };
  }
}

/** Lower factor of a symmetric positive matrix, of which the lower half is given, with something added to its diagonal. */
function cholesky(matrix: Float64Array, n: number, added: (i: number) => number): Float64Array {
  const factor = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j]! + (i === j ? added(i) : 0);
      for (let k = 0; k < j; k++) sum -= factor[i * n + k]! * factor[j * n + k]!;
      factor[i * n + j] = i === j ? Math.sqrt(Math.max(sum, Number.MIN_VALUE)) : sum / factor[j * n + j]!;
    }
  }
  return factor;
}

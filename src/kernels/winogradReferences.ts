import { type DataType, type InputValues, type Node, size, type TensorType, type Values } from '../engine/graph.ts';
import { nchw } from './common.ts';
import type { DyAttrs, InputAttrs, OutputAttrs, ProductNode, ProductSignature, TileAttrs } from './winogradTiles.ts';

/* What Winograd's transforms are, by the points that they evaluate polynomials at (Cook and Toom). Tiles that only fill a pitch are 0. */

/** Finite points, the last one is infinity; and by what the weights' value at each is scaled, so that the input's need no fractions. */
const POINTS: Readonly<Record<number, readonly number[]>> = { 4: [0, 1, -1], 5: [0, 1, -1, 2], 6: [0, 1, -1, 2, -2] };
const SCALES: Readonly<Record<number, readonly number[]>> = {
  4: [-1, 1 / 2, 1 / 2, 1],
  5: [1 / 2, -1 / 2, -1 / 6, 1 / 6, 1],
  6: [1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24, 1],
};

type Matrix = readonly (readonly number[])[];

/** Coefficients of the product of x - q over some points, constant term first. */
function polynomial(points: readonly number[]): number[] {
  let terms = [1];
  for (const q of points)
    terms = Array.from({ length: terms.length + 1 }, (_, i) => (terms[i - 1] ?? 0) - q * (terms[i] ?? 0));
  return terms;
}

/** The matrices of F(m, k): input [A, A], weights [A, k] and outputs [m, A], A = m + k - 1. */
export function transformMatrices({ m, k }: TileAttrs): { input: Matrix; weights: Matrix; outputs: Matrix } {
  const size = m + k - 1;
  const points = POINTS[size]!;
  const scales = SCALES[size]!;
  const powers = (p: number, count: number) => Array.from({ length: count }, (_, i) => p ** i);
  const weights = points.map((p, i) => powers(p, k).map((power) => power * scales[i]!));
  weights.push(Array.from({ length: k }, (_, i) => Number(i === k - 1)));
  const input = points.map((p, i) => {
    const others = points.filter((q) => q !== p);
    const norm = others.reduce((product, q) => product * (p - q), 1) * scales[i]!;
    return [...polynomial(others), 0].map((term) => term / norm);
  });
  input.push(polynomial(points));
  const outputs = Array.from({ length: m }, (_, i) => [...points.map((p) => p ** i), Number(i === m - 1)]);
  return { input, weights, outputs };
}

/** matrix x tile x transposed matrix, of a square tile. */
function bothSides(matrix: Matrix, tile: ArrayLike<number>): number[] {
  const side = matrix[0]!.length;
  return matrix.flatMap((row) =>
    matrix.map((column) => {
      let sum = 0;
      for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) sum += row[i]! * column[j]! * tile[i * side + j]!;
      return sum;
    }),
  );
}

/** A square of a plane, zero outside of it. */
function squareOf(
  values: Values,
  plane: number,
  [height, width]: readonly [number, number],
  top: number,
  left: number,
  side: number,
) {
  return Array.from({ length: side * side }, (_, i) => {
    const [y, x] = [top + Math.floor(i / side), left + (i % side)];
    return y >= 0 && x >= 0 && y < height && x < width ? values[(plane * height + y) * width + x]! : 0;
  });
}

type One = readonly ['f32'];

export function winogradInputReference([x]: InputValues<One>, node: Node<InputAttrs, One>): Values {
  const { m, k, padding, firstRow, rows, tilesY, tilesX } = node.attrs;
  const [, channels, height, width] = nchw(node.inputs[0].type);
  const [, points, pitch] = node.type.shape as [number, number, number];
  const { input } = transformMatrices({ m, k });
  const v = new Float64Array(channels * points * pitch);
  for (let c = 0; c < channels; c++) {
    for (let t = 0; t < rows * tilesX; t++) {
      const row = firstRow + Math.floor(t / tilesX);
      const plane = Math.floor(row / tilesY) * channels + c;
      const [top, left] = [(row % tilesY) * m - padding, (t % tilesX) * m - padding];
      const square = squareOf(x, plane, [height, width], top, left, m + k - 1);
      for (const [p, value] of bothSides(input, square).entries()) v[(c * points + p) * pitch + t] = value;
    }
  }
  return v;
}

export function winogradWeightsReference(
  [w]: InputValues<One>,
  node: Node<TileAttrs & { readonly tile: number }, One>,
): Values {
  const { tile } = node.attrs;
  const [points, tiles, ci] = node.type.shape as [number, number, number];
  const [co] = node.inputs[0].type.shape as [number];
  const from = weightPoints(w, node.inputs[0].type, node.attrs);
  const u = new Float64Array(points * tiles * ci * tile);
  for (let i = 0; i < from.length; i++) {
    const [p, o, c] = [Math.floor(i / (co * ci)), Math.floor(i / ci) % co, i % ci];
    u[((p * tiles + Math.floor(o / tile)) * ci + c) * tile + (o % tile)] = from[i]!;
  }
  return u;
}

/** Transformed weights [points, CO, CI]. */
function weightPoints(w: Float64Array, type: TensorType, { m, k }: TileAttrs): Float64Array {
  const [co, ci] = nchw(type);
  const { weights } = transformMatrices({ m, k });
  const u = new Float64Array((m + k - 1) ** 2 * co * ci);
  for (let pair = 0; pair < co * ci; pair++) {
    const taps = w.slice(pair * k * k, (pair + 1) * k * k);
    for (const [p, value] of bothSides(weights, taps).entries()) u[p * co * ci + pair] = value;
  }
  return u;
}

/** Of dy, whose tiles are the taps of a filter of m outputs for the weights. */
export function winogradDyReference([dy]: InputValues<One>, node: Node<DyAttrs, One>): Values {
  const { m, k, tile, tilesY, tilesX } = node.attrs;
  const [n, channels] = nchw(node.inputs[0].type);
  const points = (m + k - 1) ** 2;
  const tiles = n * tilesY * tilesX;
  const from = dyPoints(dy, node.inputs[0].type, node.attrs);
  const u = new Float64Array(size(node.type));
  const last = node.type.shape.at(-1)!;
  for (let i = 0; i < from.length; i++) {
    const [p, c, t] = [Math.floor(i / (channels * tiles)), Math.floor(i / tiles) % channels, i % tiles];
    const at =
      tile === 0
        ? (c * points + p) * last + t
        : ((p * Math.ceil(channels / tile) + Math.floor(c / tile)) * tiles + t) * tile + (c % tile);
    u[at] = from[i]!;
  }
  return u;
}

/** Transformed dy [points, CO, tiles]. */
function dyPoints(dy: Float64Array, type: TensorType, { m, k, tilesY, tilesX }: Omit<DyAttrs, 'tile'>): Float64Array {
  const [n, channels, height, width] = nchw(type);
  const { weights } = transformMatrices({ m: k, k: m });
  const tiles = n * tilesY * tilesX;
  const u = new Float64Array((m + k - 1) ** 2 * channels * tiles);
  for (let c = 0; c < channels; c++) {
    for (let t = 0; t < tiles; t++) {
      const row = Math.floor(t / tilesX);
      const plane = Math.floor(row / tilesY) * channels + c;
      const square = squareOf(dy, plane, [height, width], (row % tilesY) * m, (t % tilesX) * m, m);
      for (const [p, value] of bothSides(weights, square).entries()) u[(p * channels + c) * tiles + t] = value;
    }
  }
  return u;
}

/** The products of all points. Columns that only fill a pitch are 0. */
export function winogradProductReference(
  [first, v, second]: InputValues<ProductSignature>,
  { attrs, inputs: [from, to, other], type }: ProductNode,
): Values {
  const { groups, firstChannel, tiles } = attrs;
  const [rows, points, pitch] = type.shape as [number, number, number];
  const [channels, , vPitch] = to.type.shape as [number, number, number];
  const isDy = attrs.from === 'dy';
  const u = isDy ? dyPoints(first, from.type, attrs) : weightPoints(first, from.type, attrs);
  const [columns, steps] = isDy ? [channels, tiles] : [tiles, from.type.shape[1]!];
  // Channels of the second operand follow those of the first that the weights have.
  const own = steps - (other?.type.shape[0] ?? 0);
  const value = (row: number, p: number, step: number, column: number): number => {
    if (isDy) return v[(column * points + p) * vPitch + step]!;
    if (second && step >= own) return second[((step - own) * points + p) * vPitch + column]!;
    const channel = firstChannel + Math.floor((row * groups) / rows) * steps + step;
    return v[(channel * points + p) * vPitch + column]!;
  };
  const y = new Float64Array(rows * points * pitch);
  for (let row = 0; row < rows; row++)
    for (let p = 0; p < points; p++)
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let step = 0; step < steps; step++)
          sum += u[(p * rows + row) * steps + step]! * value(row, p, step, column);
        y[(row * points + p) * pitch + column] = sum;
      }
  return y;
}

type OutputSignature = readonly [DataType, ...'f32'[]];

/** Of products in floats, in one chunk. @throws Error for others, which the convolutions' rows run */
export function winogradOutputReference(
  inputs: InputValues<OutputSignature>,
  node: Node<OutputAttrs, OutputSignature>,
): Values {
  const { m, k, relu, pool, bias, firstRow, rows, tilesY, tilesX, halves } = node.attrs;
  const [products, shift] = inputs;
  if (halves || firstRow > 0 || inputs.length > 1 + Number(bias))
    throw new Error('winogradOutput of halves or of several chunks is tested through conv2d');
  const [n, channels, height, width] = nchw(node.type);
  const [, points, pitch] = node.inputs[0].type.shape as [number, number, number];
  const { outputs } = transformMatrices({ m, k });
  const [fullHeight, fullWidth] = [tilesY * m, tilesX * m];
  const y = new Float64Array(n * channels * height * width);
  for (let c = 0; c < channels; c++) {
    const full = new Float64Array(n * fullHeight * fullWidth);
    for (let t = 0; t < rows * tilesX; t++) {
      const [image, row] = [Math.floor(t / tilesX / tilesY), Math.floor(t / tilesX) % tilesY];
      const values = Array.from({ length: points }, (_, p) => products[(c * points + p) * pitch + t]!);
      for (const [i, value] of bothSides(outputs, values).entries()) {
        const sum = value + (bias ? shift![c]! : 0);
        const place = (row * m + Math.floor(i / m)) * fullWidth + (t % tilesX) * m + (i % m);
        full[image * fullHeight * fullWidth + place] = relu ? Math.max(sum, 0) : sum;
      }
    }
    const at = (image: number, v: number, u: number) => full[(image * fullHeight + v) * fullWidth + u]!;
    for (let image = 0; image < n; image++)
      for (let v = 0; v < height; v++)
        for (let u = 0; u < width; u++)
          y[((image * channels + c) * height + v) * width + u] = pool
            ? (at(image, 2 * v, 2 * u) +
                at(image, 2 * v + 1, 2 * u) +
                at(image, 2 * v, 2 * u + 1) +
                at(image, 2 * v + 1, 2 * u + 1)) /
              4
            : at(image, v, u);
  }
  return y;
}

/**
 * Weights' gradients [CO, CI, k, k] from the products of a gradient, of which there may be several to add.
 * @param products [splits, CO, (m + k - 1)^2, pitch], of which CI columns are used
 */
export function winogradGradOutputReference(
  products: Float64Array,
  { m, k, shape }: TileAttrs & { readonly shape: readonly number[] },
  pitch: number,
): Values {
  const [co, ci] = shape as [number, number];
  const points = (m + k - 1) ** 2;
  // The taps of this filter are the m x m tiles of dy, its outputs the weights.
  const { outputs } = transformMatrices({ m: k, k: m });
  const dw = new Float64Array(co * ci * k * k);
  for (let pair = 0; pair < co * ci; pair++) {
    const [o, c] = [Math.floor(pair / ci), pair % ci];
    const sums = Array.from({ length: points }, (_, p) => {
      let sum = 0;
      for (let at = (o * points + p) * pitch + c; at < products.length; at += co * points * pitch) sum += products[at]!;
      return sum;
    });
    dw.set(bothSides(outputs, sums), pair * k * k);
  }
  return dw;
}

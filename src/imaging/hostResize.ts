import type { RgbImage } from '../data/image.ts';
import { RESIZE_PRECISION, resizeCoefficients } from '../kernels/image.ts';

/**
 * The resize of the kernels on the host, for images that no device buffer holds: row by row, so that beside the image it takes
 * memory for the result alone. Byte by byte the same.
 * @returns [side, side] pixel words
 */
export function resizeOnHost({ width, height, data }: RgbImage, side: number): Uint32Array {
  const across = resizeCoefficients(width, side);
  const down = resizeCoefficients(height, side);
  const rounding = 1 << (RESIZE_PRECISION - 1);
  const line = new Uint8Array(side * 3);
  // Rows of the result are sums that grow while the image's rows pass.
  const sums = new Int32Array(side * side * 3).fill(rounding);
  let first = 0;
  for (let y = 0; y < height; y++) {
    resizeRow(data, y * width * 3, across, line);
    while (first < side && down.bounds[2 * first]! + down.bounds[2 * first + 1]! <= y) first++;
    for (let o = first; o < side && down.bounds[2 * o]! <= y; o++) {
      const weight = down.weights[o * down.taps + y - down.bounds[2 * o]!]!;
      const at = o * side * 3;
      for (let i = 0; i < line.length; i++) sums[at + i]! += weight * line[i]!;
    }
  }
  const words = new Uint32Array(side * side);
  for (let i = 0, k = 0; i < words.length; i++, k += 3) {
    words[i] = (0xff000000 | (byte(sums[k + 2]!) << 16) | (byte(sums[k + 1]!) << 8) | byte(sums[k]!)) >>> 0;
  }
  return words;
}

type Coefficients = ReturnType<typeof resizeCoefficients>;

function resizeRow(data: Uint8Array, start: number, { taps, bounds, weights }: Coefficients, line: Uint8Array): void {
  for (let o = 0, k = 0; k < line.length; o++, k += 3) {
    let red = 1 << (RESIZE_PRECISION - 1);
    let green = red;
    let blue = red;
    const end = o * taps + bounds[2 * o + 1]!;
    for (let t = o * taps, at = start + bounds[2 * o]! * 3; t < end; t++, at += 3) {
      const weight = weights[t]!;
      red += weight * data[at]!;
      green += weight * data[at + 1]!;
      blue += weight * data[at + 2]!;
    }
    line[k] = byte(red);
    line[k + 1] = byte(green);
    line[k + 2] = byte(blue);
  }
}

function byte(sum: number): number {
  return Math.min(Math.max(sum >> RESIZE_PRECISION, 0), 255);
}

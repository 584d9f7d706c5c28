import type { RgbImage } from '../data/image.ts';
import { RESIZE_PRECISION, resizeCoefficients } from '../kernels/image.ts';

/**
 * The resize of the kernels on the host, for images that no device buffer holds: row by row, so that beside the image it takes
 * memory for the result and a few of its rows. Byte by byte the same.
 * @returns [side, side] pixel words
 */
export function resizeOnHost(image: RgbImage, side: number): Uint32Array {
  const words = new Uint32Array(side * side);
  resizeRows(image, side, side, (y, line) => {
    for (let i = y * side, k = 0; k < line.length; i++, k += 3)
      words[i] = (0xff000000 | (line[k + 2]! << 16) | (line[k + 1]! << 8) | line[k]!) >>> 0;
  });
  return words;
}

/** The same to any size. */
export function resizeImageOnHost(image: RgbImage, width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  resizeRows(image, width, height, (y, line) => data.set(line, y * line.length));
  return { width, height, data };
}

/** @param take gets every row of the result in order, [width, 3]; valid during the call */
function resizeRows(
  { width, height, data }: RgbImage,
  toWidth: number,
  toHeight: number,
  take: (y: number, line: Uint8Array) => void,
): void {
  const across = resizeCoefficients(width, toWidth);
  const down = resizeCoefficients(height, toHeight);
  const line = new Uint8Array(toWidth * 3);
  // Rows of the result are sums that grow while the image's rows pass; those that are done make room.
  const sums = new Map<number, Int32Array>();
  let first = 0;
  for (let y = 0; y < height; y++) {
    resizeRow(data, y * width * 3, across, line);
    for (let o = first; o < toHeight && down.bounds[2 * o]! <= y; o++) {
      const sum = sums.get(o) ?? new Int32Array(line.length).fill(1 << (RESIZE_PRECISION - 1));
      sums.set(o, sum);
      const weight = down.weights[o * down.taps + y - down.bounds[2 * o]!]!;
      for (let i = 0; i < line.length; i++) sum[i]! += weight * line[i]!;
    }
    for (; first < toHeight && down.bounds[2 * first]! + down.bounds[2 * first + 1]! <= y + 1; first++) {
      take(first, Uint8Array.from(sums.get(first)!, byte));
      sums.delete(first);
    }
  }
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

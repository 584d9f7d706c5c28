import lumaShader from '../../shaders/image_luma.wgsl';
import resizeShader from '../../shaders/image_resize.wgsl';
import tensorShader from '../../shaders/image_to_tensor.wgsl';
import rgbShader from '../../shaders/rgb_to_pixels.wgsl';
import { expectShapes, makeNode, type Node, type Op, Parameter, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';
import { sumOp } from './sum.ts';

type None = Record<string, never>;

/** ImageNet statistics of the three channels, in units of [0, 1] colors. */
export const IMAGE_MEAN = [0.485, 0.456, 0.406] as const;
export const IMAGE_STD = [0.229, 0.224, 0.225] as const;

/** What `adjust` does to an image, by the number that the kernel uses. */
export const COLOR_CHANGES = ['none', 'brightness', 'contrast', 'saturation', 'grayscale'] as const;

/**
 * Pixels to normalized planes.
 * @param image u32 [N, H, W]: bytes R, G, B, A from the lowest
 * @returns f32 [N, 3, H, W]
 */
export function imageToTensor(image: Node, label?: string): Node {
  return makeNode(imageToTensorOp, [image], {}, label);
}

/**
 * Pixels to normalized planes after one color change per image.
 * @param image u32 [N, H, W]
 * @param change [N, 2]: index into {@link COLOR_CHANGES}, factor
 * @returns f32 [N, 3, H, W]
 */
export function adjustedImageToTensor(image: Node, change: Node, label?: string): Node {
  const [n, h, w] = image.type.shape as [number, number, number];
  const luma = makeNode(imageLumaOp, [image], {});
  const mean = makeNode(
    sumOp,
    [luma],
    { outer: 1, keep: n, inner: h * w, factor: 1 / (h * w), shape: [n] },
    'meanLuma',
  );
  return makeNode(imageToTensorOp, [image, change, mean], {}, label);
}

/** Words that hold the RGB triples of so many pixels: whole groups of four pixels, whose last may be empty. */
export function rgbWords(pixels: number): number {
  return 3 * Math.ceil(pixels / 4);
}

/**
 * RGB triples, as images lie on the host, to pixel words.
 * @param bytes u32 [words], four bytes each. @see rgbWords
 * @returns u32 [1, height, width]
 */
export function rgbToPixels(bytes: Node, height: number, width: number, label?: string): Node {
  return makeNode(rgbToPixelsOp, [bytes], { height, width }, label);
}

function color(word: number): [number, number, number] {
  return [(word & 255) / 255, ((word >> 8) & 255) / 255, ((word >> 16) & 255) / 255];
}

const luma = ([r, g, b]: readonly [number, number, number]) => 0.299 * r + 0.587 * g + 0.114 * b;
const clamp = (v: number) => Math.min(Math.max(v, 0), 1);

export const imageToTensorOp: Op<None, readonly ['u32', ...'f32'[]]> = {
  name: 'imageToTensor',
  infer(inputs) {
    const [image, change] = inputs;
    const ok = image.dtype === 'u32' && image.shape.length === 3 && (!change || size(change) === 2 * image.shape[0]!);
    expectShapes('imageToTensor', ok, inputs, 'image u32[N, H, W], change [N, 2]');
    const [n, h, w] = image.shape as [number, number, number];
    return { shape: [n, 3, h, w], dtype: 'f32' };
  },
  reference([image, change, means], node) {
    const [n, , h, w] = node.type.shape as [number, number, number, number];
    const plane = h * w;
    const y = new Float64Array(size(node.type));
    for (let i = 0; i < n * plane; i++) {
      const b = Math.floor(i / plane);
      let rgb = color(image[i]!);
      const kind = COLOR_CHANGES[change?.[2 * b] ?? 0];
      const f = change?.[2 * b + 1] ?? 1;
      const gray = luma(rgb);
      if (kind === 'brightness') rgb = rgb.map((v) => clamp(v * f)) as typeof rgb;
      else if (kind === 'contrast') rgb = rgb.map((v) => clamp((v - means![b]!) * f + means![b]!)) as typeof rgb;
      else if (kind === 'saturation') rgb = rgb.map((v) => clamp((v - gray) * f + gray)) as typeof rgb;
      else if (kind === 'grayscale') rgb = [gray, gray, gray];
      for (let c = 0; c < 3; c++) y[(b * 3 + c) * plane + (i % plane)] = (rgb[c]! - IMAGE_MEAN[c]!) / IMAGE_STD[c]!;
    }
    return y;
  },
  variants: [
    {
      name: 'pixel',
      kernel(node, caps) {
        const [n, h, w] = node.inputs[0].type.shape as [number, number, number];
        return {
          shader: { name: 'image_to_tensor.wgsl', source: tensorShader },
          defines: { WORKGROUP, ADJUST: Number(node.inputs.length === 3) },
          params: { size: u32(n * h * w), plane: u32(h * w) },
          grid: foldedGrid(n * h * w, caps),
        };
      },
    },
  ],
};

export const rgbToPixelsOp: Op<{ readonly height: number; readonly width: number }, readonly ['u32']> = {
  name: 'rgbToPixels',
  infer(inputs, { height, width }) {
    const [bytes] = inputs;
    const words = rgbWords(height * width);
    const ok = bytes.dtype === 'u32' && bytes.shape.join() === String(words);
    expectShapes('rgbToPixels', ok, inputs, `u32[${words}] for ${width}x${height} pixels`);
    return { shape: [1, height, width], dtype: 'u32' };
  },
  reference([words], node) {
    const byte = (i: number) => (words[i >> 2]! >>> (8 * (i & 3))) & 255;
    return Uint32Array.from({ length: size(node.type) }, (_, i) => {
      return (0xff000000 | (byte(3 * i + 2) << 16) | (byte(3 * i + 1) << 8) | byte(3 * i)) >>> 0;
    });
  },
  variants: [
    {
      name: 'quad',
      kernel: (node, caps) => ({
        shader: { name: 'rgb_to_pixels.wgsl', source: rgbShader },
        defines: { WORKGROUP },
        params: { size: u32(size(node.type)) },
        grid: foldedGrid(Math.ceil(size(node.type) / 4), caps),
      }),
    },
  ],
};

export const imageLumaOp: Op<None, readonly ['u32']> = {
  name: 'imageLuma',
  infer: ([image]) => ({ shape: image.shape, dtype: 'f32' }),
  reference: ([image]) => Float64Array.from(image, (word) => luma(color(word))),
  variants: [
    {
      name: 'pixel',
      kernel: (node, caps) => ({
        shader: { name: 'image_luma.wgsl', source: lumaShader },
        defines: { WORKGROUP },
        params: { size: u32(size(node.type)) },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};

/** Fractional bits of Pillow's 8-bit resampling. */
export const RESIZE_PRECISION = 22;

/** Taps of a triangle filter that widens when shrinking, as Pillow computes them. */
export function resizeCoefficients(
  input: number,
  output: number,
): { taps: number; bounds: Uint32Array; weights: Int32Array } {
  const scale = input / output;
  const filterScale = Math.max(scale, 1);
  const taps = Math.ceil(filterScale) * 2 + 1;
  const bounds = new Uint32Array(2 * output);
  const weights = new Int32Array(taps * output);
  for (let o = 0; o < output; o++) {
    const center = (o + 0.5) * scale;
    const first = Math.max(Math.trunc(center - filterScale + 0.5), 0);
    const last = Math.min(Math.trunc(center + filterScale + 0.5), input);
    const row = new Float64Array(last - first);
    let sum = 0;
    for (let i = 0; i < row.length; i++) {
      row[i] = Math.max(0, 1 - Math.abs((i + first - center + 0.5) * (1 / filterScale)));
      sum += row[i]!;
    }
    for (let i = 0; i < row.length; i++) {
      const share = sum === 0 ? row[i]! : row[i]! / sum;
      weights[o * taps + i] = Math.trunc(0.5 + share * (1 << RESIZE_PRECISION));
    }
    bounds[2 * o] = first;
    bounds[2 * o + 1] = row.length;
  }
  return { taps, bounds, weights };
}

/**
 * Antialiased bilinear resize, equal to Pillow's `Image.BILINEAR` byte for byte: two passes, rounded to bytes after each.
 * @param image u32 [N, H, W]
 * @param sourceWidth columns that belong to the image, where rows are padded (textures are copied in rows of 256 bytes)
 * @returns u32 [N, height, width]
 */
export function imageResize(image: Node, height: number, width: number, sourceWidth?: number): Node {
  expectShapes(
    'imageResize',
    image.type.dtype === 'u32' && image.type.shape.length === 3,
    [image.type],
    'u32 [N, H, W]',
  );
  const [, h, stored] = image.type.shape as [number, number, number];
  const w = sourceWidth ?? stored;
  let result = image;
  if (w !== width || stored !== width) result = resizePass(result, true, w, width);
  if (h !== height) result = resizePass(result, false, h, height);
  return result;
}

function resizePass(image: Node, horizontal: boolean, from: number, to: number): Node {
  const { taps, bounds, weights } = resizeCoefficients(from, to);
  const axis = horizontal ? 'x' : 'y';
  const boundsNode = new Parameter(`resize.${axis}.bounds`, { shape: [to, 2], dtype: 'u32' }, bounds).node;
  const words = new Uint32Array(weights.buffer);
  const weightsNode = new Parameter(`resize.${axis}.weights`, { shape: [to, taps], dtype: 'u32' }, words).node;
  return makeNode(imageResizeOp, [image, boundsNode, weightsNode], { horizontal, size: to }, `resize.${axis}`);
}

export const imageResizeOp: Op<
  { readonly horizontal: boolean; readonly size: number },
  readonly ['u32', 'u32', 'u32']
> = {
  name: 'imageResize',
  infer([image], { horizontal, size: to }) {
    const [n, h, w] = image.shape as [number, number, number];
    return { shape: horizontal ? [n, h, to] : [n, to, w], dtype: 'u32' };
  },
  reference([image, bounds, weights], node) {
    const { horizontal } = node.attrs;
    const [, h, w] = node.inputs[0].type.shape as [number, number, number];
    const [n, oh, ow] = node.type.shape as [number, number, number];
    const taps = node.inputs[2].type.shape[1]!;
    const y = new Uint32Array(n * oh * ow);
    for (let i = 0; i < y.length; i++) {
      const ox = i % ow;
      const oy = Math.floor(i / ow) % oh;
      const b = Math.floor(i / (ow * oh));
      const o = horizontal ? ox : oy;
      let word = 0;
      for (let c = 0; c < 4; c++) {
        let sum = 1 << (RESIZE_PRECISION - 1);
        for (let t = 0; t < bounds[2 * o + 1]!; t++) {
          const s = bounds[2 * o]! + t;
          const at = horizontal ? (b * h + oy) * w + s : (b * h + s) * w + ox;
          sum += (weights[o * taps + t]! | 0) * ((image[at]! >>> (8 * c)) & 255);
        }
        word |= Math.min(Math.max(sum >> RESIZE_PRECISION, 0), 255) << (8 * c);
      }
      y[i] = word;
    }
    return y;
  },
  variants: [
    {
      name: 'pixel',
      kernel(node, caps) {
        const [, height, width] = node.inputs[0].type.shape as [number, number, number];
        const [, outHeight, outWidth] = node.type.shape as [number, number, number];
        return {
          shader: { name: 'image_resize.wgsl', source: resizeShader },
          defines: { WORKGROUP, HORIZONTAL: Number(node.attrs.horizontal) },
          params: {
            size: u32(size(node.type)),
            height: u32(height),
            width: u32(width),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
            taps: u32(node.inputs[2].type.shape[1]!),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};

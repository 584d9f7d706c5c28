import shader from '../../shaders/image_warp.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, type Homography, homographyParams, WORKGROUP } from './common.ts';

export interface WarpAttrs {
  readonly height: number;
  readonly width: number;
  /** Columns that belong to the image, where rows are padded. */
  readonly sourceWidth: number;
  /** From points of the result to points of the image, both in pixels from the upper left corner. */
  readonly matrix: Homography;
}

/**
 * An image seen in perspective: bilinear in 1/256 of a pixel, rounded to bytes, the edge goes on beyond the image. Where a pixel of
 * the result lies on one of the image, it is that pixel.
 * @param image u32 [N, H, W]
 * @returns u32 [N, height, width]
 */
export function imageWarp(image: Node, attrs: WarpAttrs, label?: string): Node {
  return makeNode(imageWarpOp, [image], attrs, label);
}

/** What {@link imageWarp} computes, for one image on the host: `pixel` gives byte `c` of the pixel at a column and row. */
export function warpBytes(
  { height, width, matrix }: Omit<WarpAttrs, 'sourceWidth'>,
  source: { readonly height: number; readonly width: number },
  channels: number,
  pixel: (x: number, y: number, c: number) => number,
): Uint8Array {
  const bytes = new Uint8Array(width * height * channels);
  const limit = (v: number, extent: number) => Math.min(Math.max(v, 0), extent - 1);
  let at = 0;
  for (let j = 0.5; j < height; j++) {
    for (let i = 0.5; i < width; i++) {
      const w = matrix[6]! * i + matrix[7]! * j + matrix[8]!;
      const x = Math.floor(((matrix[0]! * i + matrix[1]! * j + matrix[2]!) / w - 0.5) * 256 + 0.5);
      const y = Math.floor(((matrix[3]! * i + matrix[4]! * j + matrix[5]!) / w - 0.5) * 256 + 0.5);
      const [tx, ty] = [x & 255, y & 255];
      const [left, right] = [limit(x >> 8, source.width), limit((x >> 8) + 1, source.width)];
      const [above, below] = [limit(y >> 8, source.height), limit((y >> 8) + 1, source.height)];
      for (let c = 0; c < channels; c++) {
        const top = pixel(left, above, c) * (256 - tx) + pixel(right, above, c) * tx;
        const bottom = pixel(left, below, c) * (256 - tx) + pixel(right, below, c) * tx;
        bytes[at++] = (top * (256 - ty) + bottom * ty + 32768) >> 16;
      }
    }
  }
  return bytes;
}

export const imageWarpOp: Op<WarpAttrs, readonly ['u32']> = {
  name: 'imageWarp',
  infer(inputs, { height, width }) {
    const [image] = inputs;
    expectShapes('imageWarp', image.dtype === 'u32' && image.shape.length === 3, inputs, 'u32 [N, H, W]');
    return { shape: [image.shape[0]!, height, width], dtype: 'u32' };
  },
  reference([image], node) {
    const [n, h, w] = node.inputs[0].type.shape as [number, number, number];
    const { sourceWidth } = node.attrs;
    const images = Array.from({ length: n }, (_, b) =>
      warpBytes(node.attrs, { height: h, width: sourceWidth }, 4, (x, y, c) => {
        return (image[(b * h + y) * w + x]! >>> (8 * c)) & 255;
      }),
    );
    return Uint32Array.from(images.flatMap((bytes) => [...new Uint32Array(bytes.buffer)]));
  },
  variants: [
    {
      name: 'pixel',
      kernel(node, caps) {
        const [, height, width] = node.inputs[0].type.shape as [number, number, number];
        const { height: outHeight, width: outWidth, sourceWidth, matrix } = node.attrs;
        return {
          shader: { name: 'image_warp.wgsl', source: shader },
          defines: { WORKGROUP },
          params: {
            size: u32(size(node.type)),
            height: u32(height),
            width: u32(width),
            sourceWidth: u32(sourceWidth),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
            ...homographyParams(matrix),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};

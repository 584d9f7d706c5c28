import shader from '../../shaders/swap_red_blue.wgsl';
import { makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

/** Pixels whose bytes are B, G, R, A as pixels of R, G, B, A, and the other way round. @param image u32 [N, H, W] */
export function swapRedBlue(image: Node, label?: string): Node {
  return makeNode(swapRedBlueOp, [image], {}, label);
}

export const swapRedBlueOp: Op<Record<string, never>, readonly ['u32']> = {
  name: 'swapRedBlue',
  infer: ([image]) => image,
  reference: ([image]) =>
    Uint32Array.from(image, (word) => ((word & 0xff00ff00) | ((word >>> 16) & 255) | ((word & 255) << 16)) >>> 0),
  variants: [
    {
      name: 'pixel',
      kernel: (node, caps) => ({
        shader: { name: 'swap_red_blue.wgsl', source: shader },
        defines: { WORKGROUP },
        params: { size: u32(size(node.type)) },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};

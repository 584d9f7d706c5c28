import directShader from '../../shaders/conv2d_input_grad_direct.wgsl';
import flipShader from '../../shaders/flip_weights.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, nchw, WORKGROUP } from '../kernels/common.ts';
import { conv2d } from '../kernels/conv2d.ts';
import { convOutput } from '../kernels/conv2dShape.ts';
import { pad2d } from '../kernels/pad2d.ts';

interface InputGradAttrs {
  readonly stride: number;
  readonly padding: number;
  /** Shape of the convolution's input [N, CI, H, W]. */
  readonly shape: readonly number[];
}

/**
 * Gradient of conv2d with respect to its input.
 * @param dy [N, CO, OH, OW]
 * @param w [CO, CI, KH, KW]
 * @returns [N, CI, H, W]
 */
export function conv2dInputGrad(dy: Node, w: Node, attrs: InputGradAttrs, label?: string): Node {
  return makeNode(conv2dInputGradOp, [dy, w], attrs, label);
}

export const conv2dInputGradOp: Op<InputGradAttrs, readonly ['f32', 'f32']> = {
  name: 'conv2dInputGrad',
  infer(inputs, { stride, padding, shape }) {
    const [n, co, oh, ow] = nchw(inputs[0]);
    const [wo, ci, kh, kw] = nchw(inputs[1]);
    const [xn, xc, h, width] = shape as [number, number, number, number];
    const ok =
      co === wo &&
      ci === xc &&
      n === xn &&
      convOutput(h, kh, stride, padding) === oh &&
      convOutput(width, kw, stride, padding) === ow;
    expectShapes('conv2dInputGrad', ok, inputs, `dy and w of a convolution over [${shape.join('x')}]`);
    return { shape, dtype: 'f32' };
  },
  reference([dy, w], node) {
    const { stride, padding } = node.attrs;
    const [n, ci, h, width] = nchw(node.type);
    const [, co, oh, ow] = nchw(node.inputs[0].type);
    const [, , kh, kw] = nchw(node.inputs[1].type);
    const dx = new Float64Array(size(node.type));
    for (let b = 0; b < n; b++) {
      for (let o = 0; o < co; o++) {
        for (let oy = 0; oy < oh; oy++) {
          for (let ox = 0; ox < ow; ox++) {
            const g = dy[((b * co + o) * oh + oy) * ow + ox]!;
            for (let c = 0; c < ci; c++) {
              for (let ky = 0; ky < kh; ky++) {
                const iy = oy * stride - padding + ky;
                if (iy < 0 || iy >= h) continue;
                for (let kx = 0; kx < kw; kx++) {
                  const ix = ox * stride - padding + kx;
                  if (ix >= 0 && ix < width)
                    dx[((b * ci + c) * h + iy) * width + ix]! += g * w[((o * ci + c) * kh + ky) * kw + kx]!;
                }
              }
            }
          }
        }
      }
    }
    return dx;
  },
  cost(node) {
    const [n, co, oh, ow] = nchw(node.inputs[0].type);
    const [, ci, kh, kw] = nchw(node.inputs[1].type);
    return {
      flops: 2 * n * co * oh * ow * ci * kh * kw,
      bytes: 4 * (n * co * oh * ow + co * ci * kh * kw + size(node.type)),
    };
  },
  variants: [
    {
      // A stride-1 convolution of the dilated and padded dy with swapped, flipped weights: all fast forward variants apply.
      // Dilation multiplies by zeros, but only the small strided layers of the autoencoder's encoder need it.
      name: 'convolution',
      lower(node) {
        const [dy, w] = node.inputs;
        const { stride, padding } = node.attrs;
        const [, , h, width] = nchw(node.type);
        const [, , oh, ow] = nchw(dy.type);
        const [, , kh, kw] = nchw(w.type);
        const top = kh - 1 - padding;
        const left = kw - 1 - padding;
        if (stride === 1 && top === left && top >= 0) {
          return conv2d(dy, flipWeights(w), undefined, { padding: top }, node.label);
        }
        const padded = pad2d(dy, {
          top,
          left,
          bottom: h + kh - 1 - ((oh - 1) * stride + 1 + top),
          right: width + kw - 1 - ((ow - 1) * stride + 1 + left),
          dilation: stride,
        });
        return conv2d(padded, flipWeights(w), undefined, {}, node.label);
      },
    },
    {
      name: 'direct',
      kernel(node, caps) {
        const { stride, padding } = node.attrs;
        const [, inChannels, height, width] = nchw(node.type);
        const [, outChannels, outHeight, outWidth] = nchw(node.inputs[0].type);
        const [, , kernelHeight, kernelWidth] = nchw(node.inputs[1].type);
        return {
          shader: { name: 'conv2d_input_grad_direct.wgsl', source: directShader },
          defines: { WORKGROUP },
          params: {
            size: u32(size(node.type)),
            inChannels: u32(inChannels),
            height: u32(height),
            width: u32(width),
            outChannels: u32(outChannels),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
            kernelHeight: u32(kernelHeight),
            kernelWidth: u32(kernelWidth),
            stride: u32(stride),
            padding: u32(padding),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};

function flipWeights(w: Node): Node {
  return makeNode(flipWeightsOp, [w], {}, `${w.label}.flipped`);
}

/** [CO, CI, KH, KW] -> [CI, CO, KH, KW] with both spatial axes reversed. */
export const flipWeightsOp: Op<Record<string, never>, readonly ['f32']> = {
  name: 'flipWeights',
  infer([w]) {
    const [co, ci, kh, kw] = nchw(w);
    return { shape: [ci, co, kh, kw], dtype: 'f32' };
  },
  reference([w], node) {
    const [co, ci, kh, kw] = nchw(node.inputs[0].type);
    const taps = kh * kw;
    const y = new Float64Array(size(node.type));
    for (let o = 0; o < co; o++) {
      for (let c = 0; c < ci; c++) {
        for (let t = 0; t < taps; t++) y[(c * co + o) * taps + taps - 1 - t] = w[(o * ci + c) * taps + t]!;
      }
    }
    return y;
  },
  variants: [
    {
      name: 'copy',
      kernel(node, caps) {
        const [outChannels, inChannels, kh, kw] = nchw(node.inputs[0].type);
        return {
          shader: { name: 'flip_weights.wgsl', source: flipShader },
          defines: { WORKGROUP },
          params: { outChannels: u32(outChannels), inChannels: u32(inChannels), taps: u32(kh * kw) },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};

import resizedInputShader from '../../shaders/winograd_input_resized.wgsl';
import type { Caps } from '../engine/caps.ts';
import { f32, i32, isOf, type Kernel, makeNode, type Node, u32 } from '../engine/graph.ts';
import { nchw, WORKGROUP } from './common.ts';
import { resizeBilinearOp } from './resizeBilinear.ts';
import { channelsPerInvocation, type InputAttrs, pitch } from './winogradTiles.ts';

type InputNode = Node<InputAttrs, readonly ['f32']>;

/** Takes in a resize of what is transformed. @see Op.absorb */
export function absorbResize(node: InputNode, isOnlyUser: (input: Node) => boolean): InputNode | undefined {
  const [x] = node.inputs;
  if (!isOf(x, resizeBilinearOp) || node.attrs.resized || !isOnlyUser(x)) return undefined;
  const [, , height, width] = nchw(x.type);
  return makeNode(node.op, x.inputs, { ...node.attrs, resized: [height, width] }, node.label);
}

/**
 * The input transform of a plane that is resized while it is read.
 * @param inputScale of what is written as halves; without it floats are written
 */
export function resizedInputKernel(node: InputNode, caps: Caps, inputScale?: number): Kernel {
  const { m, k, padding, firstRow, rows, tilesY, tilesX, resized } = node.attrs;
  const [, channels, height, width] = nchw(node.inputs[0].type);
  const [outHeight, outWidth] = resized!;
  const A = m + k - 1;
  const across = Math.ceil((rows * tilesX) / WORKGROUP);
  const each = inputScale === undefined ? channelsPerInvocation(caps, across, channels) : 2;
  // From the value before the patch's first one to that behind the last one.
  const window = (from: number, to: number) => Math.floor(((A - 1) * from) / to) + 3;
  return {
    shader: { name: 'winograd_input_resized.wgsl', source: resizedInputShader },
    defines: {
      A,
      K: k,
      M: m,
      INY: height,
      INX: width,
      OUTY: outHeight,
      OUTX: outWidth,
      HALVES: Number(inputScale !== undefined),
      SCALE: inputScale ?? 1,
      UP: Number(outHeight >= height && outWidth >= width),
      ROWS: window(height, outHeight),
      COLUMNS: window(width, outWidth),
      CHANNELS: each,
      WORKGROUP,
    },
    params: {
      channels: u32(channels),
      scaleY: f32(height / outHeight),
      scaleX: f32(width / outWidth),
      padding: i32(padding),
      firstRow: u32(firstRow),
      rows: u32(rows),
      tilesY: u32(tilesY),
      tilesX: u32(tilesX),
      pitch: u32(pitch(rows * tilesX)),
    },
    grid: [across, Math.ceil(channels / each)],
  };
}

import blurShader from '../../shaders/map_blur.wgsl';
import locationShader from '../../shaders/map_location.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, type TensorType, u32 } from '../engine/graph.ts';
import { foldedGrid, inputType, WORKGROUP } from '../kernels/common.ts';

/** How many of the maps that a value holds are filtered: its last ones. */
interface LastMaps {
  readonly maps: number;
}

const isMaps = ({ shape }: TensorType, maps: number) =>
  shape.length >= 2 && size({ shape, dtype: 'f32' }) >= maps * shape.at(-1)! * shape.at(-2)!;

const lastMaps = ({ shape }: TensorType, maps: number): TensorType => ({
  shape: [maps, 1, shape.at(-2)!, shape.at(-1)!],
  dtype: 'f32',
});

/** The element that the filtered maps begin at. */
const firstOf = (node: Node) => size(inputType(node, 0)) - size(node.type);

/**
 * A separable filter over the last maps of a value, their border repeated.
 * @param x [..., H, W]
 * @param taps [2 radius + 1], of rows and of columns
 * @returns [maps, 1, H, W]
 */
export function blurMaps(x: Node, taps: Node, maps: number, label?: string): Node {
  return makeNode(mapBlurOp, [x, taps], { maps }, label);
}

export const mapBlurOp: Op<LastMaps, readonly ['f32', 'f32']> = {
  name: 'mapBlur',
  infer(inputs, { maps }) {
    const [x, taps] = inputs;
    const ok = isMaps(x, maps) && size(taps) % 2 === 1;
    expectShapes('mapBlur', ok, inputs, 'x [..., H, W] and an odd number of taps');
    return lastMaps(x, maps);
  },
  reference([x, taps], node) {
    const [, , height, width] = node.type.shape as [number, number, number, number];
    const radius = (taps.length - 1) / 2;
    const limit = (at: number, length: number) => Math.min(Math.max(at, 0), length - 1);
    const first = firstOf(node);
    return Float64Array.from({ length: size(node.type) }, (_, i) => {
      const [column, row] = [i % width, Math.floor(i / width) % height];
      const base = first + i - column - row * width;
      let sum = 0;
      for (let dy = -radius; dy <= radius; dy++) {
        const line = base + limit(row + dy, height) * width;
        for (let dx = -radius; dx <= radius; dx++)
          sum += taps[dy + radius]! * taps[dx + radius]! * x[line + limit(column + dx, width)]!;
      }
      return sum;
    });
  },
  cost: (node) => ({
    flops: 2 * size(node.type) * size(node.inputs[1].type) ** 2,
    bytes: 8 * size(node.type),
  }),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const [, , height, width] = node.type.shape as [number, number, number, number];
        return {
          shader: { name: 'map_blur.wgsl', source: blurShader },
          defines: { WORKGROUP, RADIUS: (size(node.inputs[1].type) - 1) / 2 },
          params: { size: u32(size(node.type)), first: u32(firstOf(node)), height: u32(height), width: u32(width) },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};

/**
 * The last maps of a value relative to what is usual at each place: (x - mean) factor.
 * @param x [..., H, W]
 * @param usual [2, H, W], the mean and one over the deviation
 * @returns [maps, 1, H, W]
 */
export function normalizeMaps(x: Node, usual: Node, maps: number, label?: string): Node {
  return makeNode(mapLocationOp, [x, usual], { maps }, label);
}

export const mapLocationOp: Op<LastMaps, readonly ['f32', 'f32']> = {
  name: 'mapLocation',
  infer(inputs, { maps }) {
    const [x, usual] = inputs;
    const ok = isMaps(x, maps) && usual.shape.join() === [2, ...x.shape.slice(-2)].join();
    expectShapes('mapLocation', ok, inputs, 'x [..., H, W] and usual [2, H, W]');
    return lastMaps(x, maps);
  },
  reference([x, usual], node) {
    const plane = usual.length / 2;
    const first = firstOf(node);
    return Float64Array.from(
      { length: size(node.type) },
      (_, i) => (x[first + i]! - usual[i % plane]!) * usual[plane + (i % plane)]!,
    );
  },
  variants: [
    {
      name: 'element',
      kernel: (node, caps) => ({
        shader: { name: 'map_location.wgsl', source: locationShader },
        defines: { WORKGROUP },
        params: {
          size: u32(size(node.type)),
          first: u32(firstOf(node)),
          plane: u32(size(node.inputs[1].type) / 2),
        },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};

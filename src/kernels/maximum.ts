import shader from '../../shaders/maximum.wgsl';
import { type DataType, expectShapes, type Kernel, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';

/** Whether values outside of a region are skipped. @see OUTSIDE */
interface InsideAttrs {
  readonly inside?: true;
}

/** Bits of the values of a map outside of a region: a NaN of their own, so that every other one still tells of an overflow. */
export const OUTSIDE = 0x7fc0a0a0;

/**
 * The largest value of each entry of the first axis, exactly. NaN where there is one among them, else infinity where there is
 * an infinite one of either sign, so that a result that is not finite tells of values that are not. It has no gradient.
 * @param x [N, ...]
 * @returns [N]
 */
export function maximum(x: Node, label?: string): Node {
  return makeNode(maximumOp, [x], {}, label);
}

/** The same of the values that are not {@link OUTSIDE}; NaN where there is none. */
export function maximumInside(x: Node, label?: string): Node {
  return makeNode(maximumOp, [x], { inside: true }, label);
}

const INVOCATIONS = 256;
/** Values of a workgroup: above that one image takes several, and a second stage. */
const SHARE = 32 * INVOCATIONS;
const MOST_PARTS = 256;

export const maximumOp: Op<InsideAttrs, readonly ['f32']> = {
  name: 'maximum',
  infer(inputs) {
    const [x] = inputs;
    expectShapes('maximum', x.shape.length >= 1 && x.dtype === 'f32', inputs, 'x f32 [N, ...]');
    return { shape: [x.shape[0]!], dtype: 'f32' };
  },
  reference([x], node) {
    const length = x.length / size(node.type);
    return Float64Array.from({ length: size(node.type) }, (_, n) => {
      let best = Number.NEGATIVE_INFINITY;
      for (let i = n * length; i < (n + 1) * length; i++) {
        const value = x[i]!;
        // What is NaN in float64 has no bits of its own.
        if (node.attrs.inside && Number.isNaN(value)) continue;
        best = Math.max(best, Number.isFinite(value) ? value : Math.abs(value));
      }
      return best;
    });
  },
  variants: [
    {
      name: 'stages',
      supports: ({ limits }) => limits.maxComputeInvocationsPerWorkgroup >= INVOCATIONS,
      lower(node) {
        const [x] = node.inputs;
        const parts = Math.min(MOST_PARTS, Math.ceil(size(x.type) / size(node.type) / SHARE));
        if (parts === 1) return undefined;
        return makeNode(
          maximumOfKeysOp,
          [makeNode(maximumPartialOp, [x], { parts, ...node.attrs }, `${node.label}.parts`)],
          {},
          node.label,
        );
      },
      kernel: (node) => stage(node, 1, { KEYS: 0, PARTIAL: 0, INSIDE: Number(node.attrs.inside ?? false) }),
    },
  ],
};

function stage(
  node: Node<unknown, readonly [DataType]>,
  parts: number,
  defines: Readonly<Record<'KEYS' | 'PARTIAL' | 'INSIDE', number>>,
): Kernel {
  const images = node.type.shape[0]!;
  return {
    shader: { name: 'maximum.wgsl', source: shader },
    defines: { ...defines, OUTSIDE, WORKGROUP: INVOCATIONS },
    params: { length: u32(size(node.inputs[0].type) / images), parts: u32(parts) },
    grid: [parts, images],
  };
}

/** Whose order is that of the floats; infinities are above all of them, and NaN above these. */
function keyOf(value: number): number {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 0xffffffff : 0xfffffffe;
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return (bits ^ (bits >>> 31 === 1 ? 0xffffffff : 0x80000000)) >>> 0;
}

/** The reverse of {@link keyOf}, of infinities the positive one. */
function valueOfKey(key: number): number {
  if (key >= 0xfffffffe) return key === 0xffffffff ? Number.NaN : Number.POSITIVE_INFINITY;
  return new Float32Array(Uint32Array.of(key ^ (key >>> 31 === 1 ? 0x80000000 : 0xffffffff)).buffer)[0]!;
}

/** Keys of parts of each image, [N, parts]. */
export const maximumPartialOp: Op<InsideAttrs & { readonly parts: number }, readonly ['f32']> = {
  name: 'maximumPartial',
  infer: ([x], { parts }) => ({ shape: [x.shape[0]!, parts], dtype: 'u32' }),
  reference([x], { attrs: { parts, inside }, type }) {
    const length = x.length / type.shape[0]!;
    const keys = new Uint32Array(size(type));
    for (let i = 0; i < x.length; i++) {
      const at = Math.floor(i / length) * parts + (Math.floor((i % length) / INVOCATIONS) % parts);
      keys[at] = Math.max(keys[at]!, inside && Number.isNaN(x[i]) ? 0 : keyOf(x[i]!));
    }
    return keys;
  },
  variants: [
    {
      name: 'parts',
      kernel: (node) =>
        stage(node, node.attrs.parts, { KEYS: 0, PARTIAL: 1, INSIDE: Number(node.attrs.inside ?? false) }),
    },
  ],
};

/** The values of the largest keys. */
export const maximumOfKeysOp: Op<Record<string, never>, readonly ['u32']> = {
  name: 'maximumOfKeys',
  infer: ([keys]) => ({ shape: [keys.shape[0]!], dtype: 'f32' }),
  reference([keys], { type }) {
    const parts = keys.length / size(type);
    return Float64Array.from({ length: size(type) }, (_, n) =>
      valueOfKey(keys.subarray(n * parts, (n + 1) * parts).reduce((a, b) => Math.max(a, b))),
    );
  },
  variants: [{ name: 'keys', kernel: (node) => stage(node, 1, { KEYS: 1, PARTIAL: 0, INSIDE: 0 }) }],
};

import type { Kernel, Node } from './graph.ts';

/** The scalar parameters of all kernels of a plan, in one buffer. */
export interface Uniforms {
  readonly data: ArrayBuffer;
  /** Where those of a node lie; nodes without any are missing. */
  readonly places: ReadonlyMap<Node, { readonly offset: number; readonly size: number }>;
}

/** @param alignment of offsets in bytes (`minUniformBufferOffsetAlignment`) */
export function packUniforms(kernels: Iterable<readonly [Node, Kernel]>, alignment: number): Uniforms {
  const places = new Map<Node, { offset: number; size: number }>();
  const fields: { at: number; type: 'f32' | 'i32' | 'u32'; value: number }[] = [];
  let end = 0;
  for (const [node, { params = {} }] of kernels) {
    const values = Object.values(params);
    if (values.length === 0) continue;
    places.set(node, { offset: end, size: 4 * values.length });
    values.forEach(({ type, value }, i) => void fields.push({ at: end + 4 * i, type, value }));
    end += Math.ceil((4 * values.length) / alignment) * alignment;
  }
  const data = new DataView(new ArrayBuffer(end));
  for (const { at, type, value } of fields) {
    if (type === 'f32') data.setFloat32(at, value, true);
    else if (type === 'i32') data.setInt32(at, value, true);
    else data.setUint32(at, value, true);
  }
  return { data: data.buffer, places };
}

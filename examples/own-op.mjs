// @ts-check
// An op of one's own: the product of two tensors, with its gradient and two variants, held against its definition.
import { Engine, evaluateReference, gradient, input, makeNode, mean, ShapeError } from 'raad-webgpu/engine';
import { openDevice } from 'raad-webgpu/node';

/** @typedef {import('raad-webgpu/engine').Node} Node */
/** @typedef {Record<string, never>} None */
/** @typedef {readonly ['f32', 'f32']} TwoTensors what the op takes, by data type */

const WORKGROUP = 64;

/** A template: TYPE is a number, or a vector of four neighbors. */
const source = `
@group(0) @binding(0) var<storage, read> a: array<\${TYPE}>;
@group(0) @binding(1) var<storage, read> b: array<\${TYPE}>;
@group(0) @binding(2) var<storage, read_write> y: array<\${TYPE}>;
#params

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.count) {
    y[id.x] = a[id.x] * b[id.x];
  }
}
`;

/** @param {Node} node */
const length = (node) => node.type.shape.reduce((product, side) => product * side, 1);

/**
 * A kernel that computes `per` values in an invocation.
 * @param {string} name
 * @param {number} per
 * @returns {import('raad-webgpu/engine').Variant<None, TwoTensors>}
 */
const variant = (name, per) => ({
  name,
  supports: (caps, node) =>
    length(node) % per === 0 && length(node) <= per * WORKGROUP * caps.limits.maxComputeWorkgroupsPerDimension,
  kernel: (node) => ({
    shader: { name: 'product.wgsl', source },
    defines: { TYPE: per === 1 ? 'f32' : `vec${per}f` },
    params: { count: { type: 'u32', value: length(node) / per } },
    grid: [Math.ceil(length(node) / per / WORKGROUP)],
  }),
});

/** @type {import('raad-webgpu/engine').Op<None, TwoTensors>} */
const productOp = {
  name: 'product',
  infer([a, b]) {
    if (a.shape.join() !== b.shape.join()) throw new ShapeError('product: expected two tensors of equal shape.');
    return a;
  },
  // The definition, in float64: what every variant is held against.
  reference: ([a, b]) => a.map((value, i) => value * Number(b[i])),
  gradient: ({ inputs: [a, b] }, dy) => [product(b, dy), product(a, dy)],
  cost: (node) => ({ flops: length(node), bytes: 12 * length(node) }),
  // In order of preference: the first that supports a node is its default.
  variants: [variant('vectors', 4), variant('numbers', 1)],
};

/**
 * a * b, element by element.
 * @param {Node} a
 * @param {Node} b
 */
function product(a, b) {
  return makeNode(productOp, [a, b], {});
}

const { device, close } = await openDevice();
const engine = new Engine({ device });
const shape = [3, 8];
const a = input('a', shape);
const b = input('b', shape);
const y = product(product(a, b), b);
// The slope of a mean of a * b * b in b is 2 * a * b / 24.
const [db] = /** @type {[Node]} */ (gradient([mean(y)], [b]));

const given = {
  a: Float32Array.from({ length: 24 }, (_, i) => Math.cos(i)),
  b: Float32Array.from({ length: 24 }, (_, i) => Math.sin(3 * i)),
};
const values = new Map([
  [a, Float64Array.from(given.a)],
  [b, Float64Array.from(given.b)],
]);
const expected = {
  y: evaluateReference([y], values)[0],
  db: given.a.map((value, i) => (2 * value * (given.b[i] ?? 0)) / 24),
};
for (const name of ['vectors', 'numbers']) {
  const plan = await engine.compile({ outputs: { y, db }, variants: { product: name } });
  const got = await plan.run(given, ['y', 'db']);
  for (const key of /** @type {const} */ (['y', 'db'])) {
    const errors = Array.from(got[key] ?? [], (value, i) => Math.abs(value - Number(expected[key]?.[i])));
    console.log(`${name}: ${key} differs by ${Math.max(...errors).toExponential(1)} at most`);
  }
  plan.destroy();
}
engine.destroy();
close();

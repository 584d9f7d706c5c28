// dropout: y = x / (1 - rate) where a random number keeps the element, else 0. Also its own gradient (x = dy).
//
// x      [size]
// state  [4] u32, first word = step (src/kernels/adam.ts)
// y      [size]
// grid   one invocation per element, folded; the random counter is (element, step, node, seed)
// reference: src/kernels/dropout.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#params
#include grid
#include random

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index < params.size) {
    let keep = randomWords(vec4u(index, state[0], params.node, params.seed)).x >= params.dropBelow;
    y[index] = select(0.0, x[index] * params.scale, keep);
  }
}

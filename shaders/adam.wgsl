// adam: one step of Adam with L2 regularisation in the gradient, in place.
//
// p, m, v  [size]  parameter, first and second moment
// grad     [size]
// state    [4] u32 (adam_tick.wgsl, which runs before)
// grid     one invocation per element, folded
// reference: src/kernels/adam.ts
@group(0) @binding(0) var<storage, read_write> p: array<f32>;
@group(0) @binding(1) var<storage, read_write> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read> grad: array<f32>;
@group(0) @binding(4) var<storage, read> state: array<u32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = linearIndex(group, count, local);
  if (i >= params.size) {
    return;
  }
  let learningRate = bitcast<f32>(state[1]);
  let correction1 = 1.0 - bitcast<f32>(state[2]);
  let correction2 = sqrt(1.0 - bitcast<f32>(state[3]));
  let g = grad[i] + params.weightDecay * p[i];
  let first = params.beta1 * m[i] + params.rest1 * g;
  let second = params.beta2 * v[i] + params.rest2 * g * g;
  m[i] = first;
  v[i] = second;
  p[i] -= learningRate / correction1 * first / (sqrt(second) / correction2 + params.epsilon);
}

// standardize: y = (x - mean[c]) / deviation[c]
//
// x, y       [N, C, H, W]
// mean, deviation  [C]
// grid       one invocation per element, folded
// reference: src/kernels/standardize.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> deviation: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index < params.size) {
    let c = index / params.plane % params.channels;
    y[index] = (x[index] - mean[c]) / deviation[c];
  }
}

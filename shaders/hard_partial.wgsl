// hardStats, first stage: sum and number of the elements at or above their image's threshold, per chunk.
//
// x          [N, size]
// threshold  [N]
// y          [N, CHUNKS, 2]  sum, count
// grid       one invocation per (image, chunk), folded
// reference: src/kernels/hardMean.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> threshold: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.images * params.chunks) {
    return;
  }
  let image = index / params.chunks;
  let limit = threshold[image];
  var sum = 0.0;
  var hits = 0.0;
  for (var i = index % params.chunks; i < params.size; i += params.chunks) {
    let value = x[image * params.size + i];
    if (value >= limit) {
      sum += value;
      hits += 1.0;
    }
  }
  y[index * 2u] = sum;
  y[index * 2u + 1u] = hits;
}

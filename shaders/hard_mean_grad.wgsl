// hardMeanGrad: dx = dy / (N count) at the elements at or above their image's threshold, else 0.
//
// x          [N, size]
// threshold  [N]
// stats      [N, 2]  sum, count
// dy         []
// dx         [N, size]
// grid       one invocation per element, folded
// reference: src/detectorOps/hardMean.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> threshold: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.images * params.size) {
    return;
  }
  let image = index / params.size;
  dx[index] = select(0.0, dy[0] / (f32(params.images) * stats[image * 2u + 1u]), x[index] >= threshold[image]);
}

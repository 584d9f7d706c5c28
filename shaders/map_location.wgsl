// mapLocation: maps relative to what is usual at each place.
//
// x      [..., H, W]   the last maps are normalized, from element params.first on
// usual  [2, H, W]     mean, and one over the deviation
// y      [N, 1, H, W]  (x - mean) factor
// grid   one invocation per element, folded
// reference: src/detectorOps/mapFilters.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> usual: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index < params.size) {
    let place = index % params.plane;
    y[index] = (x[params.first + index] - usual[place]) * usual[params.plane + place];
  }
}

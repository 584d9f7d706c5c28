// channelsLast: [N, C, H, W] -> [N, H, W, C]
//
// grid  one invocation per element, folded; reads are contiguous
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let pixel = index % params.plane;
  let channel = index / params.plane % params.channels;
  let n = index / (params.plane * params.channels);
  y[(n * params.plane + pixel) * params.channels + channel] = x[index];
}

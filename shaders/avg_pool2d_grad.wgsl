// avgPool2dGrad: dx = dy / 4 of the window that the element lies in; 0 for a last row or column that no window reaches.
//
// dy    [N, C, OH, OW]
// dx    [N, C, H, W]
// grid  one invocation per element of dx, folded
// reference: src/kernels/avgPool2d.ts
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let ox = (index % params.width + params.padding) / 2u;
  let oy = (index / params.width % params.height + params.padding) / 2u;
  let plane = index / (params.width * params.height);
  var value = 0.0;
  if (ox < params.outWidth && oy < params.outHeight) {
    value = 0.25 * dy[(plane * params.outHeight + oy) * params.outWidth + ox];
  }
  dx[index] = value;
}

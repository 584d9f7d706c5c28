// nearestDistance: mean over channels of the squared distance to the nearest of some vectors, from products with all of them.
//
// x         [N, C, H, W]
// products  [N, K, H, W]  x m_k - |m_k|^2 / 2
// y         [N, 1, H, W]  (|x|^2 - 2 max_k products) / C, at least 0
// grid      one invocation per output, folded
// reference: src/detectorOps/nearest.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> products: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let image = index / params.plane;
  let place = index % params.plane;
  var square = 0.0;
  for (var c = 0u; c < params.channels; c++) {
    let value = x[(image * params.channels + c) * params.plane + place];
    square += value * value;
  }
  var best = products[image * params.vectors * params.plane + place];
  for (var k = 1u; k < params.vectors; k++) {
    best = max(best, products[(image * params.vectors + k) * params.plane + place]);
  }
  y[index] = max(square - 2.0 * best, 0.0) / f32(params.channels);
}

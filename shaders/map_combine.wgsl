// mapCombine: the sum of both anomaly maps, each normalized by its quantiles on normal images and weighted.
//
// st, ae     [N, 1, H, W]
// quantiles  [4]  q_a and q_b of st, q_a and q_b of ae
// y          [N, 1, H, W]  sum of weight (M - q_a) / (q_b - q_a); with STACKED [3, N, 1, H, W]: st, ae, sum
// grid       one invocation per element, folded
// reference: src/detectorOps/maps.ts
@group(0) @binding(0) var<storage, read> st: array<f32>;
@group(0) @binding(1) var<storage, read> ae: array<f32>;
@group(0) @binding(2) var<storage, read> quantiles: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = linearIndex(group, count, local);
  if (i < params.size) {
    let a = st[i];
    let b = ae[i];
#if STACKED
    y[i] = a;
    y[params.size + i] = b;
#end
    y[${2 * STACKED}u * params.size + i] = params.weight * ((a - quantiles[0]) / (quantiles[1] - quantiles[0]) + (b - quantiles[2]) / (quantiles[3] - quantiles[2]));
  }
}

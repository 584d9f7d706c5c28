// quantile, last pass: interpolates between the selected value and its successor in sorted order.
//
// state  [N, 4] u32: key, rank among equal keys, number of equal keys, -
// least  [N, CHUNKS] u32
// y      [N]
// grid   one invocation per image
// reference: src/kernels/quantile.ts
@group(0) @binding(0) var<storage, read> state: array<u32>;
@group(0) @binding(1) var<storage, read> least: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#params
#include sortable

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) workgroup: vec3u) {
#include workgroup
  let image = group.x;
  let low = fromSortKey(state[image * 4u]);
  var high = low;
  if (params.fraction > 0.0 && state[image * 4u + 1u] + 1u >= state[image * 4u + 2u]) {
    var best = 0xffffffffu;
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
      best = min(best, least[image * params.chunks + chunk]);
    }
    high = fromSortKey(best);
  }
  y[image] = low + params.fraction * (high - low);
}

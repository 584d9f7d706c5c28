// quantile, successor pass: the smallest key above the selected one, per chunk (0xffffffff: none).
//
// x      [N, size]
// state  [N, 4] u32
// least  [N, CHUNKS] u32
// grid   one invocation per (image, chunk), folded
// reference: src/kernels/quantile.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> least: array<u32>;
#params
#include grid
#include sortable

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.images * params.chunks) {
    return;
  }
  let image = index / params.chunks;
  let selected = state[image * 4u];
  var best = 0xffffffffu;
  for (var i = index % params.chunks; i < params.size; i += params.chunks) {
    let key = sortKey(x[image * params.size + i]);
    if (key > selected) {
      best = min(best, key);
    }
  }
  least[index] = best;
}

// hardStats, second stage: adds the chunks in order.
//
// partial  [N, CHUNKS, 2]
// y        [N, 2]  sum, count
// grid     one invocation per image
// reference: src/detectorOps/hardMean.ts
@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) workgroup: vec3u) {
#include workgroup
  let image = group.x;
  var sum = 0.0;
  var hits = 0.0;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    sum += partial[(image * params.chunks + chunk) * 2u];
    hits += partial[(image * params.chunks + chunk) * 2u + 1u];
  }
  y[image * 2u] = sum;
  y[image * 2u + 1u] = hits;
}

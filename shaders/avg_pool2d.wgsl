// avgPool2d: mean of 2 x 2 windows, stride 2; padded zeros are counted.
//
// x     [N, C, H, W]
// y     [N, C, OH, OW],  OH = floor((H + 2 padding - 2) / 2) + 1
// grid  x: columns / 8, y: rows / 8, z: planes; one invocation per output (no division: CPUs do it lane by lane)
// reference: src/kernels/avgPool2d.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
#include workgroup
  let id = vec3u(group.xy * 8u + local.xy, group.z);
  if (id.x >= params.outWidth || id.y >= params.outHeight) {
    return;
  }
  let index = (id.z * params.outHeight + id.y) * params.outWidth + id.x;
  let plane = id.z * params.height * params.width;
#if PADDING
  let left = i32(id.x * 2u) - ${PADDING};
  let top = i32(id.y * 2u) - ${PADDING};
  var sum = 0.0;
  for (var dy = 0; dy < 2; dy++) {
    for (var dx = 0; dx < 2; dx++) {
      if (top + dy >= 0 && top + dy < i32(params.height) && left + dx >= 0 && left + dx < i32(params.width)) {
        sum += x[plane + u32(top + dy) * params.width + u32(left + dx)];
      }
    }
  }
  y[index] = 0.25 * sum;
#else
  let at = plane + id.y * 2u * params.width + id.x * 2u;
  y[index] = 0.25 * (x[at] + x[at + 1u] + x[at + params.width] + x[at + params.width + 1u]);
#end
}

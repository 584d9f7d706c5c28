// resizeBilinear of feature maps: align_corners = false, no antialiasing.
//
// x     [N, C, H, W]
// y     [N, C, OH, OW]
// grid  x: columns / 8, y: rows / 8, z: planes; one invocation per output (no division: CPUs do it lane by lane)
// reference: src/kernels/resizeBilinear.ts
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
  let fx = max((f32(id.x) + 0.5) * params.scaleX - 0.5, 0.0);
  let fy = max((f32(id.y) + 0.5) * params.scaleY - 0.5, 0.0);
  let x0 = min(u32(fx), params.width - 1u);
  let y0 = min(u32(fy), params.height - 1u);
  let x1 = min(x0 + 1u, params.width - 1u);
  let y1 = min(y0 + 1u, params.height - 1u);
  let tx = fx - f32(x0);
  let ty = fy - f32(y0);
  let plane = id.z * params.height * params.width;
  let top = (1.0 - tx) * x[plane + y0 * params.width + x0] + tx * x[plane + y0 * params.width + x1];
  let bottom = (1.0 - tx) * x[plane + y1 * params.width + x0] + tx * x[plane + y1 * params.width + x1];
  y[index] = (1.0 - ty) * top + ty * bottom;
}

// resizeBilinear of feature maps: align_corners = false, no antialiasing.
//
// x     [N, C, H, W]
// y     [N, C, OH, OW]
// grid  one invocation per output, folded
// reference: src/kernels/resizeBilinear.ts
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
  let fx = max((f32(index % params.outWidth) + 0.5) * params.scaleX - 0.5, 0.0);
  let fy = max((f32(index / params.outWidth % params.outHeight) + 0.5) * params.scaleY - 0.5, 0.0);
  let x0 = min(u32(fx), params.width - 1u);
  let y0 = min(u32(fy), params.height - 1u);
  let x1 = min(x0 + 1u, params.width - 1u);
  let y1 = min(y0 + 1u, params.height - 1u);
  let tx = fx - f32(x0);
  let ty = fy - f32(y0);
  let plane = index / (params.outWidth * params.outHeight) * params.height * params.width;
  let top = (1.0 - tx) * x[plane + y0 * params.width + x0] + tx * x[plane + y0 * params.width + x1];
  let bottom = (1.0 - tx) * x[plane + y1 * params.width + x0] + tx * x[plane + y1 * params.width + x1];
  y[index] = (1.0 - ty) * top + ty * bottom;
}

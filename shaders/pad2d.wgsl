// pad2d: zeros around every plane (a negative amount crops), and DILATION - 1 zeros between neighbours.
//
// x     [N, C, H, W]
// y     [N, C, OH, OW],  OH = (H - 1) * dilation + 1 + top + bottom
// grid  one invocation per output, folded
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
  let ox = index % params.outWidth;
  let oy = index / params.outWidth % params.outHeight;
  let plane = index / (params.outWidth * params.outHeight);
  let iy = i32(oy) - params.top;
  let ix = i32(ox) - params.left;
  let dilation = i32(params.dilation);
  var value = 0.0;
  if (iy >= 0 && ix >= 0 && iy % dilation == 0 && ix % dilation == 0 && iy / dilation < i32(params.height) && ix / dilation < i32(params.width)) {
    value = x[(plane * params.height + u32(iy / dilation)) * params.width + u32(ix / dilation)];
  }
  y[index] = value;
}

// pad2d: zeros around every plane (a negative amount crops), and DILATION - 1 zeros between neighbors. MIRRORED: the plane itself
// around it, mirrored at its border.
//
// x     [N, C, H, W]
// y     [N, C, OH, OW],  OH = (H - 1) * dilation + 1 + top + bottom
// grid  x: columns / 8, y: rows / 8, z: planes; one invocation per output (no division: CPUs do it lane by lane)
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
  let iy = i32(id.y) - params.top;
  let ix = i32(id.x) - params.left;
  var value = 0.0;
#if MIRRORED
  let my = min(abs(iy), 2 * (i32(params.height) - 1) - abs(iy));
  let mx = min(abs(ix), 2 * (i32(params.width) - 1) - abs(ix));
  value = x[(id.z * params.height + u32(my)) * params.width + u32(mx)];
#else
#if DILATION == 1
  if (iy >= 0 && ix >= 0 && iy < i32(params.height) && ix < i32(params.width)) {
    value = x[(id.z * params.height + u32(iy)) * params.width + u32(ix)];
  }
#else
  if (iy >= 0 && ix >= 0 && iy % ${DILATION} == 0 && ix % ${DILATION} == 0 && iy / ${DILATION} < i32(params.height) && ix / ${DILATION} < i32(params.width)) {
    value = x[(id.z * params.height + u32(iy / ${DILATION})) * params.width + u32(ix / ${DILATION})];
  }
#end
#end
  y[index] = value;
}

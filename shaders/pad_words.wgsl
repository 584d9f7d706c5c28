// Rows and columns around planes of stored activations: the zero point's code in every channel of a word (CODES), zeros for f16.
//
// x     [planes, H, W] words
// y     [planes, H + 2 padding, W + 2 padding] words
// grid  x: columns / 8, y: rows / 8, z: planes
@group(0) @binding(0) var<storage, read> x: array<u32>;
#if CODES
@group(0) @binding(1) var<storage, read> range: vec4f;
#end
@group(0) @binding(${1 + (CODES > 0)}) var<storage, read_write> y: array<u32>;
#params

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
#include workgroup
  let id = vec3u(group.xy * 8u + local.xy, group.z);
  let outWidth = params.width + 2u * params.padding;
  let outHeight = params.height + 2u * params.padding;
  if (id.x >= outWidth || id.y >= outHeight) {
    return;
  }
#if CODES
  var value = u32(range.y) * ${CODES}u;
#else
  var value = 0u;
#end
  let ix = id.x - params.padding;
  let iy = id.y - params.padding;
  if (ix < params.width && iy < params.height) {
    value = x[(id.z * params.height + iy) * params.width + ix];
  }
  y[(id.z * outHeight + id.y) * outWidth + id.x] = value;
}

// Float feature maps, resized as resize_bilinear does, in words of stored ones (qstore); BITS is the width that is stored.
//
// x      [N, C, H, W]
// y      [N, ceil(C / PER), OH, OW]
// grid   x: columns / 8, y: rows / 8, z: N * ceil(C / PER)
// reference: resizeBilinear, then storeOp in src/kernels/storage.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
#if BITS <= 8
@group(0) @binding(1) var<storage, read> range: vec4f;
#end
@group(0) @binding(${1 + (BITS <= 8)}) var<storage, read_write> y: array<u32>;
#params
#include qstore

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
#include workgroup
  let id = vec3u(group.xy * 8u + local.xy, group.z);
  if (id.x >= params.outWidth || id.y >= params.outHeight) {
    return;
  }
  let fx = max((f32(id.x) + 0.5) * params.scaleX - 0.5, 0.0);
  let fy = max((f32(id.y) + 0.5) * params.scaleY - 0.5, 0.0);
  let x0 = min(u32(fx), params.width - 1u);
  let y0 = min(u32(fy), params.height - 1u);
  let x1 = min(x0 + 1u, params.width - 1u);
  let y1 = min(y0 + 1u, params.height - 1u);
  let tx = fx - f32(x0);
  let ty = fy - f32(y0);
  let plane = params.height * params.width;
  let words = (params.channels + ${32 / BITS - 1}u) / ${32 / BITS}u;
  let first = id.z % words * ${32 / BITS}u;
#for k in 0..32 / BITS
  let plane${k} = (id.z / words * params.channels + min(first + ${k}u, params.channels - 1u)) * plane;
  let top${k} = (1.0 - tx) * x[plane${k} + y0 * params.width + x0] + tx * x[plane${k} + y0 * params.width + x1];
  let bottom${k} = (1.0 - tx) * x[plane${k} + y1 * params.width + x0] + tx * x[plane${k} + y1 * params.width + x1];
  let v${k} = select(0.0, (1.0 - ty) * top${k} + ty * bottom${k}, first + ${k}u < params.channels);
#end k
  let at = (id.z * params.outHeight + id.y) * params.outWidth + id.x;
#if BITS == 4
  y[at] = codesOf(vec4f(v0, v1, v2, v3), range) | (codesOf(vec4f(v4, v5, v6, v7), range) << 4u);
#end
#if BITS == 8
  y[at] = codesOf(vec4f(v0, v1, v2, v3), range);
#end
#if BITS == 16
  y[at] = pack2x16float(vec2f(v0, v1));
#end
}

// 2x2 means of u8 activations with one requantization: the sum of four codes is exact, and rounded once.
//
// x     [N, words, H, W] words of four codes
// y     [N, words, floor(H / 2), floor(W / 2)]
// grid  x: columns / 8, y: rows / 8, z: planes of words
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> inRange: vec4f;
@group(0) @binding(2) var<storage, read> outRange: vec4f;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
#params
#include qstore

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
#include workgroup
  let id = vec3u(group.xy * 8u + local.xy, group.z);
  if (id.x >= params.outWidth || id.y >= params.outHeight) {
    return;
  }
  let at = (id.z * params.height + 2u * id.y) * params.width + 2u * id.x;
  let a = x[at];
  let b = x[at + 1u];
  let c = x[at + params.width];
  let d = x[at + params.width + 1u];
#for k in 0..4
  let sum${k} = ((a >> ${8 * k}u) & 255u) + ((b >> ${8 * k}u) & 255u) + ((c >> ${8 * k}u) & 255u) + ((d >> ${8 * k}u) & 255u);
#end k
  let means = vec4f(f32(sum0), f32(sum1), f32(sum2), f32(sum3)) * 0.25 - vec4f(inRange.y);
  y[(id.z * params.outHeight + id.y) * params.outWidth + id.x] = codesOf(means * inRange.x, outRange);
}

// Between float feature maps and stored ones (qstore): TO_WORDS packs, else unpacks; BITS is the width that is stored.
//
// floats  [N, C, H, W]
// words   [N, ceil(C / PER), H, W]
// grid    x: columns / 8, y: rows / 8, z: N * (TO_WORDS ? ceil(C / PER) : C)
#if TO_WORDS
@group(0) @binding(0) var<storage, read> x: array<f32>;
#else
@group(0) @binding(0) var<storage, read> x: array<u32>;
#end
#if BITS <= 8
@group(0) @binding(1) var<storage, read> range: vec4f;
#end
#if TO_WORDS
@group(0) @binding(${1 + (BITS <= 8)}) var<storage, read_write> y: array<u32>;
#else
@group(0) @binding(${1 + (BITS <= 8)}) var<storage, read_write> y: array<f32>;
#end
#params
#include qstore

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
#include workgroup
  let id = vec3u(group.xy * 8u + local.xy, group.z);
  if (id.x >= params.width || id.y >= params.height) {
    return;
  }
  let plane = params.height * params.width;
  let place = id.y * params.width + id.x;
  let words = (params.channels + ${32 / BITS - 1}u) / ${32 / BITS}u;
#if TO_WORDS
  let first = id.z % words * ${32 / BITS}u;
  let base = (id.z / words * params.channels + first) * plane + place;
#for k in 0..32 / BITS
  let v${k} = select(0.0, x[base + min(${k}u, params.channels - 1u - first) * plane], first + ${k}u < params.channels);
#end k
#if BITS == 4
  y[id.z * plane + place] = codesOf(vec4f(v0, v1, v2, v3), range) | (codesOf(vec4f(v4, v5, v6, v7), range) << 4u);
#end
#if BITS == 8
  y[id.z * plane + place] = codesOf(vec4f(v0, v1, v2, v3), range);
#end
#if BITS == 16
  y[id.z * plane + place] = pack2x16float(vec2f(v0, v1));
#end
#else
  let channel = id.z % params.channels;
  let word = x[(id.z / params.channels * words + channel / ${32 / BITS}u) * plane + place];
#if BITS == 4
  y[id.z * plane + place] = (f32((word >> (channel % 4u * 8u + channel / 4u % 2u * 4u)) & 15u) - range.y) * range.x;
#end
#if BITS == 8
  y[id.z * plane + place] = (f32((word >> (channel % 4u * 8u)) & 255u) - range.y) * range.x;
#end
#if BITS == 16
  let pair = unpack2x16float(word);
  y[id.z * plane + place] = select(pair.x, pair.y, channel % 2u == 1u);
#end
#end
}

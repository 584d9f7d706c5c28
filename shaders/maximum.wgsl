// maximum: the largest value of each image, in one stage or two. Values are compared as keys, whose unsigned order is that of
// the floats: infinities are above all of them, and NaN above these. INSIDE: the NaN of the bits OUTSIDE is below all.
//
// x     [N, LENGTH] f32, or keys (KEYS)
// y     [N, PARTS] keys (PARTIAL), else [N] f32
// grid  x: PARTS, y: N
// reference: src/kernels/maximum.ts
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
#params
#include sortable

var<workgroup> keys: array<u32, ${WORKGROUP}>;

#if !KEYS
fn keyOf(bits: u32) -> u32 {
#if INSIDE
  if (bits == ${OUTSIDE}u) {
    return 0u;
  }
#end
  let magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) {
    return select(0xfffffffeu, 0xffffffffu, magnitude > 0x7f800000u);
  }
  return sortKey(bitcast<f32>(bits));
}
#end

#if !PARTIAL
fn bitsOf(key: u32) -> u32 {
  if (key >= 0xfffffffeu) {
    return select(0x7f800000u, 0x7fc00000u, key == 0xffffffffu);
  }
  return bitcast<u32>(fromSortKey(key));
}
#end

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let base = group.y * params.length;
  var best = 0u;
  for (var i = group.x * ${WORKGROUP}u + local; i < params.length; i += params.parts * ${WORKGROUP}u) {
#if KEYS
    best = max(best, x[base + i]);
#else
    best = max(best, keyOf(x[base + i]));
#end
  }
  keys[local] = best;
  workgroupBarrier();
  for (var half = ${WORKGROUP / 2}u; half > 0u; half >>= 1u) {
    if (local < half) {
      keys[local] = max(keys[local], keys[local + half]);
    }
    workgroupBarrier();
  }
  if (local == 0u) {
#if PARTIAL
    y[group.y * params.parts + group.x] = keys[0];
#else
    y[group.y] = bitsOf(keys[0]);
#end
  }
}

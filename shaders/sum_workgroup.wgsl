// Sums of many addends for GPUs, in a fixed order: a workgroup adds a chunk of one sum, of which every invocation adds four
// interleaved parts, so that four loads are under way together; the invocations meet in workgroup memory as a tree.
//
// x     OUTER x KEEP x INNER, summed over OUTER and INNER (a channel sum has OUTER = N, KEEP = C, INNER = H * W)
// y     [KEEP, CHUNKS]
// grid  x: CHUNKS, y: KEEP
// reference: src/kernels/sum.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let first = group.x * params.perChunk;
  let last = min(first + params.perChunk, params.inner);
#for t in 0..4
  var sum${t} = 0.0;
#end t
  for (var outer = 0u; outer < params.outer; outer++) {
    let base = (outer * params.keep + group.y) * params.inner;
    for (var i = first + index; i < last; i += 1024u) {
#for t in 0..4
      let part${t} = x[base + min(i + ${256 * t}u, last - 1u)];
#end t
#for t in 0..4
      sum${t} += select(0.0, part${t}, i + ${256 * t}u < last);
#end t
    }
  }
  sums[index] = (sum0 + sum1) + (sum2 + sum3);
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) {
      let other = sums[index + half];
      sums[index] = sums[index] + other;
    }
  }
  if (index == 0u) {
    y[group.y * params.chunks + group.x] = params.factor * sums[0];
  }
}

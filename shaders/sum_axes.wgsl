// Sums in two deterministic stages. Stage one: CHUNKS partial sums per output; stage two adds them in order.
//
// x     OUTER x KEEP x INNER, summed over OUTER and INNER (a channel sum has OUTER = N, KEEP = C, INNER = H * W)
// y     [KEEP, CHUNKS]
// grid  one invocation per element of y, folded; the chunks of one sum are interleaved, so that reads are contiguous
// reference: src/kernels/sum.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.keep * params.chunks) {
    return;
  }
  let chunk = index % params.chunks;
  let channel = index / params.chunks;
  var total = 0.0;
  for (var outer = 0u; outer < params.outer; outer++) {
    let base = (outer * params.keep + channel) * params.inner;
    var sum = 0.0;
    for (var i = chunk; i < params.inner; i += params.chunks) {
      sum += x[base + i];
    }
    total += sum;
  }
  y[index] = params.factor * total;
}

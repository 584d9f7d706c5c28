// sliceOuter: `size` elements of x from `offset` on; EMBED: the reverse, zeros elsewhere.
//
// x     [A, ...]
// y     [B, ...]
// grid  one invocation per output, folded
// reference: src/kernels/slice.ts
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
#if EMBED
  var value = 0.0;
  if (index >= params.offset && index - params.offset < params.length) {
    value = x[index - params.offset];
  }
  y[index] = value;
#else
  y[index] = x[params.offset + index];
#end
}

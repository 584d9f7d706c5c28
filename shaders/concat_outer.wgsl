// concatOuter: two tensors one behind the other.
//
// a, b  any shapes; y = all of a, then all of b
// grid  one invocation per output, folded
// reference: src/kernels/concat.ts
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  if (index < params.split) {
    y[index] = a[index];
  } else {
    y[index] = b[index - params.split];
  }
}

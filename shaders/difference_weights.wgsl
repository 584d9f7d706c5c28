// The weights of two layers as one layer over the channels of both, that yields the first one's result less the second one's.
//
// a     [CO, CA, taps], rowA = CA * taps
// b     [CO, CB, taps], rowB = CB * taps
// y     [CO, CA + CB, taps] = [a, -b]
// grid  one invocation per output, folded
// reference: src/kernels/differenceWeights.ts
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
  let channel = index / (params.rowA + params.rowB);
  let at = index % (params.rowA + params.rowB);
  if (at < params.rowA) {
    y[index] = a[channel * params.rowA + at];
  } else {
    y[index] = -b[channel * params.rowB + at - params.rowA];
  }
}

// The integers of packed weights as floats.
//
// w     [ceil(CO / 8)][ceil(CI / 4)][taps] blocks (qweights)
// y     [CO, CI, taps]
// grid  one invocation per value, folded
// reference: unpackWeightsOp in src/kernels/qconv2dWinograd.ts
@group(0) @binding(0) var<storage, read> w: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params
#include grid
#include qweights

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let co = index / (params.inChannels * params.taps);
  let ci = index / params.taps % params.inChannels;
  let block = (co / 8u * ((params.inChannels + 3u) / 4u) + ci / 4u) * params.taps + index % params.taps;
  y[index] = f32(weightCodes(weightBits(block, co % 8u))[ci % 4u]);
}

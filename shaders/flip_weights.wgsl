// flipWeights: the weights of the convolution that computes a stride-1 input gradient: channels swapped, both spatial axes
// reversed.
//
// w     [CO, CI, KH, KW]
// y     [CI, CO, KH, KW]
// grid  one invocation per output, folded
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.outChannels * params.inChannels * params.taps) {
    return;
  }
  let tap = index % params.taps;
  let co = index / params.taps % params.outChannels;
  let ci = index / (params.taps * params.outChannels);
  y[index] = w[(co * params.inChannels + ci) * params.taps + params.taps - 1u - tap];
}

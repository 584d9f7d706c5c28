// packWeights: convolution weights in the order in which a kernel reads them, zero-filled to whole tiles of channels.
//
// w     [CO, CI, KH, KW]
// y     [ceil(CO / MT)][CI][KH * KW][MT]
// grid  one invocation per output, folded
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let tap = index / params.tile % params.taps;
  let ci = index / (params.tile * params.taps) % params.inChannels;
  let co = index / (params.tile * params.taps * params.inChannels) * params.tile + index % params.tile;
  var value = 0.0;
  if (co < params.outChannels) {
    value = w[(co * params.inChannels + ci) * params.taps + tap];
  }
  y[index] = value;
}

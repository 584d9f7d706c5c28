// The weights of a quantized conv2d as signed bytes, in the order in which qconv2d_matrix.wgsl reads them; what fills up
// blocks of MT channels and steps of 32 input channels is zero.
//
// w     [ceil(CO / 8)][ceil(CI / 4)][KH * KW] blocks (qweights)
// y     [ceil(CO / MT)][ceil(CI / 32)][KH * KW][MT][8], four input channels in a word
// grid  one invocation per word, folded
// reference: byteWeightsOp in src/kernels/byteWeights.ts
@group(0) @binding(0) var<storage, read> w: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
#params
#include grid
#include qweights

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let row = index / 8u;
  let step = row / ${MT}u / params.taps;
  let word = step % params.steps * 8u + index % 8u;
  let channel = step / params.steps * ${MT}u + row % ${MT}u;
  var bytes = 0u;
  if (word < params.inWords && channel < params.outChannels) {
    let block = (channel / 8u * params.inWords + word) * params.taps + row / ${MT}u % params.taps;
    let codes = vec4u(weightCodes(weightBits(block, channel % 8u))) & vec4u(0xffu);
    bytes = codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
  }
  y[index] = bytes;
}

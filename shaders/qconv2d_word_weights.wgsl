// The weights of a quantized conv2d as signed bytes, four input channels in a word, in the order in which qconv2d_words.wgsl
// reads them; missing output channels are zero.
//
// w     [ceil(CO / 8)][ceil(CI / 4)][KH * KW] blocks (qweights)
// y     [ceil(CO / MT)][ceil(CI / 4)][KH * KW][MT]
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
  let step = index / ${MT}u;
  let channel = step / params.depth * ${MT}u + index % ${MT}u;
  var bytes = 0u;
  if (channel < params.outChannels) {
    let codes = vec4u(weightCodes(weightBits(channel / 8u * params.depth + step % params.depth, channel % 8u))) & vec4u(0xffu);
    bytes = codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
  }
  y[index] = bytes;
}

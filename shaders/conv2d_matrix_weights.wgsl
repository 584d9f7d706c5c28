// The weights of a convolution as halves, in the order in which conv2d_matrix.wgsl reads them; what fills up blocks and lots is
// zero.
//
// w      [CO, DEPTH]
// scale  [2] (halves_scale.wgsl)
// u      [ceil(CO / BM), ceil(DEPTH / 16), BM, 8] words of two steps
// grid   one invocation per word, folded
// reference: conv2dReference in src/kernels/conv2dReference.ts
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> u: array<u32>;
#params
#include grid
#include halves

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let lot = index / ${8 * BM}u;
  let channel = lot / params.lots * ${BM}u + index / 8u % ${BM}u;
  let step = lot % params.lots * 16u + index % 8u * 2u;
  let base = min(channel, params.outChannels - 1u) * params.depth;
  let last = params.depth - 1u;
  let present = vec2<bool>(channel < params.outChannels && step < params.depth, channel < params.outChannels && step + 1u < params.depth);
  let values = vec2f(w[base + min(step, last)], w[base + min(step + 1u, last)]);
  u[index] = halves(select(vec2f(), scale[0] * values, present));
}

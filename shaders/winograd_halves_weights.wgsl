// Winograd weight transform into halves: K x K taps of two input channels into A * A points, in the order in which the product
// reads them.
//
// w      [CO, CI, K, K]
// scale  [2] (halves_scale.wgsl)
// u      [A * A, ceil(CO / MT), lots, MT, PAIRS] words of two input channels; missing channels zero
// grid   one invocation per word of a point, folded
// reference: winogradHalvesWeightsOp in src/kernels/winogradHalves.ts
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> u: array<u32>;
#params
#include winogradPairs
#include grid
#include halves

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let row = index / ${PAIRS}u;
  let lot = row / ${MT}u;
  let co = lot / params.lots * ${MT}u + row % ${MT}u;
  let ci = 2u * (lot % params.lots * ${PAIRS}u + index % ${PAIRS}u);
  let present = vec2<bool>(co < params.outChannels && ci < params.inChannels, co < params.outChannels && ci + 1u < params.inChannels);
  let base = (min(co, params.outChannels - 1u) * params.inChannels + min(ci, params.inChannels - 1u)) * ${K * K}u;
  let next = select(0u, ${K * K}u, present.y);
  let factor = select(vec2f(), vec2f(scale[0]), present);
#for j in 0..K
  let column${j} = weightTransform(Taps(
#for i in 0..K
    factor * vec2f(w[base + ${i * K + j}u], w[base + next + ${i * K + j}u]),
#end i
  ));
#end j
#for i in 0..A
  let row${i} = weightTransform(Taps(
#for j in 0..K
    column${j}.s${i},
#end j
  ));
#for j in 0..A
  u[${i * A + j}u * params.size + index] = halves(row${i}.s${j});
#end j
#end i
}

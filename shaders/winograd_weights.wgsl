// Winograd weight transform: K x K taps into A * A points, in the order in which the product reads them.
//
// w     [CO, CI, K, K]
// u     [A * A, ceil(CO / MT), CI, MT], missing channels zero
// grid  one invocation per (channel tile, input channel, channel in tile), folded
// reference: src/kernels/winogradReferences.ts
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> u: array<f32>;
#params
#include winograd
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let ci = index / params.tile % params.inChannels;
  let co = index / (params.tile * params.inChannels) * params.tile + index % params.tile;
  let present = co < params.outChannels;
  let base = select(0u, (co * params.inChannels + ci) * ${K * K}u, present);
  let factor = select(0.0, 1.0, present);
#for j in 0..K
  let column${j} = weightTransform(Taps(
#for i in 0..K
    factor * w[base + ${i * K + j}u],
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
  u[${i * A + j}u * params.size + index] = row${i}.s${j};
#end j
#end i
}

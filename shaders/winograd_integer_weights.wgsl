// Winograd weight transform of packed codes in integers: K x K taps into A * A points, two input channels in a word, in the
// order in which the product reads them.
//
// w     [ceil(CO / 8)][ceil(CI / 4)][K * K] blocks (qweights)
// u     [A * A, ceil(CO / MT), 2 * ceil(CI / 4), MT] 16-bit halves, of input channels 4 w + u and 4 w + u + 2 in step 2 w + u;
//       missing output channels zero
// grid  one invocation per (channel tile, step, channel in tile), folded
// reference: qconv2dReference in src/kernels/qconv2dReference.ts, through qconv2d
@group(0) @binding(0) var<storage, read> w: array<u32>;
@group(0) @binding(1) var<storage, read_write> u: array<i32>;
#params
#include winogradIntegers
#include grid
#include qweights

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let step = index / params.tile % params.steps;
  let co = index / (params.tile * params.steps) * params.tile + index % params.tile;
  let present = co < params.outChannels;
  let block = select(0u, (co / 8u * (params.steps / 2u) + step / 2u) * ${K * K}u, present);
#for t in 0..K * K
  let codes${t} = weightCodes(weightBits(block + ${t}u, co % 8u));
  let pair${t} = select(0, select(codes${t}.x + (codes${t}.z << 16u), codes${t}.y + (codes${t}.w << 16u), step % 2u == 1u), present);
#end t
#for j in 0..K
  let column${j} = weightTransform(Taps(
#for i in 0..K
    pair${i * K + j},
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
  u[${i * A + j}u * params.size + index] = halvesOf(row${i}.s${j});
#end j
#end i
}

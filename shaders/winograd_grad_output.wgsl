// The last transform of a Winograd weight gradient: parts of the sum over tiles are added in a fixed order, then A * A points
// become M x M weights.
//
// m     [SPLITS, CO, A * A, pitch], CI of each row used
// dw    [CO, CI, M, M]
// grid  x: ceil(CI / WORKGROUP), y: CO; one invocation per pair of channels
// reference: conv2dWeightGradOp in src/gradients/conv2dWeightGrad.ts
@group(0) @binding(0) var<storage, read> m: array<f32>;
@group(0) @binding(1) var<storage, read_write> dw: array<f32>;
#params
#include winograd

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let channel = group.x * ${WORKGROUP}u + local;
  if (channel >= params.inChannels) {
    return;
  }
  var at = group.y * ${A * A}u * params.pitch + channel;
#for p in 0..A * A
  var sum${p} = m[at + ${p}u * params.pitch];
#end p
  for (var split = 1u; split < params.splits; split++) {
    at += params.outChannels * ${A * A}u * params.pitch;
#for p in 0..A * A
    sum${p} += m[at + ${p}u * params.pitch];
#end p
  }
#for j in 0..A
  let column${j} = outputTransform(Points(
#for i in 0..A
    sum${i * A + j},
#end i
  ));
#end j
  let to = (group.y * params.inChannels + channel) * ${M * M}u;
#for i in 0..M
  let row${i} = outputTransform(Points(
#for j in 0..A
    column${j}.s${i},
#end j
  ));
#for j in 0..M
  dw[to + ${i * M + j}u] = row${i}.s${j};
#end j
#end i
}

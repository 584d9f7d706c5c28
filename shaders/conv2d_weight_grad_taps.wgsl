// conv2dWeightGrad of few input channels (the image's) for CPU adapters: lanes along all taps of all input channels, partial
// sums over a range of output rows.
//
// One subgroup keeps MT output channels x NT * S taps in named registers and walks over its output rows, S pixels at a time.
// The taps of a pixel are gathered once for MT channels; dy is gathered for S pixels of a channel and broadcast. No barrier,
// no atomics: the partial sums are added in a fixed order (fold_splits.wgsl).
//
// x        [N, CI, H, W]  already padded
// dy       [N, CO, OH, OW]
// partial  [SPLITS, CO, CI * KH * KW]
// grid     x: ceil(CO / MT), y: splits;  workgroup: one subgroup of S lanes
// reference: conv2dWeightGradOp in src/gradients/conv2dWeightGrad.ts
enable subgroups;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;
#params

@compute @workgroup_size(${S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
#include workgroup
  let co = group.x * ${MT}u;
  let taps = params.inChannels * ${KH * KW}u;
  let plane = params.height * params.width;
  let outPlane = params.outHeight * params.outWidth;
  let rowEnd = min((group.y + 1u) * params.rowsPerSplit, params.batch * params.outHeight);
#for j in 0..NT
  let tap${j} = min(${j * S}u + lane, taps - 1u);
  let at${j} = tap${j} / ${KH * KW}u * plane + tap${j} / ${KW}u % ${KH}u * params.width + tap${j} % ${KW}u;
#end j
#for i in 0..MT
  let dyChannel${i} = min(co + ${i}u, params.outChannels - 1u) * outPlane;
#for j in 0..NT
  var acc${i}_${j} = 0.0;
#end j
#end i
  for (var row = group.y * params.rowsPerSplit; row < rowEnd; row++) {
    let n = row / params.outHeight;
    let oy = row % params.outHeight;
    let dyRow = n * params.outChannels * outPlane + oy * params.outWidth;
    let xRow = n * params.inChannels * plane + oy * ${ST}u * params.width;
    for (var ox = 0u; ox < params.outWidth; ox += ${S}u) {
      let pixel = min(ox + lane, params.outWidth - 1u);
#for i in 0..MT
      let d${i} = select(0.0, dy[dyRow + dyChannel${i} + pixel], ox + lane < params.outWidth);
#end i
#for p in 0..S
      {
        let xAt = xRow + min(ox + ${p}u, params.outWidth - 1u) * ${ST}u;
#for j in 0..NT
        let v${j} = x[xAt + at${j}];
#end j
#for i in 0..MT
        let b${i} = subgroupBroadcast(d${i}, ${p}u);
#for j in 0..NT
        acc${i}_${j} += b${i} * v${j};
#end j
#end i
      }
#end p
    }
  }
#for i in 0..MT
  if (co + ${i}u < params.outChannels) {
    let base = (group.y * params.outChannels + co + ${i}u) * taps;
#for j in 0..NT
    if (${j * S}u + lane < taps) {
      partial[base + ${j * S}u + lane] = acc${i}_${j};
    }
#end j
  }
#end i
}

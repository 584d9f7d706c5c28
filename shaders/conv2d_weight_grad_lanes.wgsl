// conv2dWeightGrad for CPU adapters: lanes along input channels, partial sums over a range of output rows.
//
// One subgroup keeps MT output channels x KR * KW taps for S input channels in named registers and walks over its output
// rows, P pixels at a time. Every vector of x is used by up to KR * KW taps and MT channels; dy is gathered P * MT values at
// a time and broadcast. No barrier, no atomics: the partial sums are added in a fixed order (fold_splits.wgsl).
//
// x        [N, CI, H, W]  already padded; the lanes' cache lines serve the pixels that follow
// dy       [N, CO, OH, OW]
// partial  [SPLITS, CO, CI, KH * KW]
// grid     x: ceil(CI / S), y: ceil(CO / MT), z: splits * (KH / KR);  workgroup: one subgroup of S lanes
// reference: conv2dWeightGradOp in src/gradients/conv2dWeightGrad.ts
enable subgroups;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;
#params

@compute @workgroup_size(${S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
#include workgroup
  let ci = min(group.x * ${S}u + lane, params.inChannels - 1u);
  let co = group.y * ${MT}u;
  let firstTap = (group.z % ${KH / KR}u) * ${KR}u;
  let split = group.z / ${KH / KR}u;
  let outPlane = params.outHeight * params.outWidth;
  let rowEnd = min((split + 1u) * params.rowsPerSplit, params.batch * params.outHeight);
#for v in 0..(P * MT + S - 1) / S
  let dyChannel${v} = min(co + (${v * S}u + lane) / ${P}u, params.outChannels - 1u) * outPlane;
  let dyPixel${v} = (${v * S}u + lane) % ${P}u;
#end v
#for i in 0..MT, t in 0..KR * KW
  var acc${i}_${t} = 0.0;
#end i, t
  for (var row = split * params.rowsPerSplit; row < rowEnd; row++) {
    let n = row / params.outHeight;
    let oy = row % params.outHeight;
    let dyRow = n * params.outChannels * outPlane + oy * params.outWidth;
    for (var ox = 0u; ox < params.outWidth; ox += ${P}u) {
#for v in 0..(P * MT + S - 1) / S
      let d${v} = select(0.0, dy[dyRow + dyChannel${v} + min(ox + dyPixel${v}, params.outWidth - 1u)], ox + dyPixel${v} < params.outWidth);
#end v
#for ky in 0..KR
      {
        let xRow = ((n * params.inChannels + ci) * params.height + oy * ${ST}u + firstTap + ${ky}u) * params.width;
#for c in 0..(P - 1) * ST + KW
        let x${c} = x[xRow + min(ox * ${ST}u + ${c}u, params.width - 1u)];
#end c
#for i in 0..MT, p in 0..P
        let b${i}_${p} = subgroupBroadcast(d${(i * P + p) / S}, ${(i * P + p) % S}u);
#for kx in 0..KW
        acc${i}_${ky * KW + kx} += b${i}_${p} * x${p * ST + kx};
#end kx
#end i, p
      }
#end ky
    }
  }
  if (group.x * ${S}u + lane < params.inChannels) {
#for i in 0..MT
    if (co + ${i}u < params.outChannels) {
      let base = ((split * params.outChannels + co + ${i}u) * params.inChannels + ci) * ${KH * KW}u + firstTap * ${KW}u;
#for t in 0..KR * KW
      partial[base + ${t}u] = acc${i}_${t};
#end t
    }
#end i
  }
}

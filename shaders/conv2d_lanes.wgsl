// conv2d of any kernel size and stride, for CPU adapters: lanes along output pixels (flattened over images and rows).
//
// One subgroup computes MT channels of NT * S pixels in named registers. Each value of x is gathered once per tap, weights
// are gathered S at a time and broadcast. No barrier, no workgroup memory.
//
// x     [N, groups * CI, H, W]  already padded
// w     [ceil(CO / MT)][CI * KH * KW][MT]  (packWeights)
// y     [N, CO, OH, OW]
// grid  x: ceil(N * OH * OW / (NT * S)), y: ceil(CO / MT);  workgroup: one subgroup of S lanes
// reference: conv2dReference in src/kernels/conv2dReference.ts
enable subgroups;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
#if BIAS
@group(0) @binding(2) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(${2 + BIAS}) var<storage, read_write> y: array<f32>;
#params

@compute @workgroup_size(${S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let pixels = params.batch * outPlane;
  let plane = params.height * params.width;
  let m = group.y * ${MT}u;
#for j in 0..NT
  let p${j} = group.x * ${S * NT}u + ${j * S}u + lane;
  let n${j} = min(p${j}, pixels - 1u) / outPlane;
  let q${j} = min(p${j}, pixels - 1u) % outPlane;
  var at${j} = (n${j} * params.xChannels + params.firstChannel + m / params.channelsPerGroup * params.inChannels) * plane + (q${j} / params.outWidth) * params.stride * params.width + (q${j} % params.outWidth) * params.stride;
#end j
#for i in 0..MT, j in 0..NT
  var acc${i}_${j} = 0.0;
#end i, j
  var wAt = group.y * params.inChannels * params.kernelHeight * ${KW * MT}u + lane;
  for (var ci = 0u; ci < params.inChannels; ci++) {
    for (var ky = 0u; ky < params.kernelHeight; ky++) {
#for v in 0..(KW * MT + S - 1) / S
      let w${v} = w[wAt + ${v * S}u];
#end v
      wAt += ${KW * MT}u;
#for kx in 0..KW
      {
#for j in 0..NT
        let x${j} = x[at${j} + ${kx}u];
#end j
#for i in 0..MT
        let b${i} = subgroupBroadcast(w${(kx * MT + i) / S}, ${(kx * MT + i) % S}u);
#for j in 0..NT
        acc${i}_${j} += b${i} * x${j};
#end j
#end i
      }
#end kx
#for j in 0..NT
      at${j} += params.width;
#end j
    }
#for j in 0..NT
    at${j} += plane - params.kernelHeight * params.width;
#end j
  }
#for j in 0..NT
  if (p${j} < pixels) {
    let base = (n${j} * params.outChannels + m) * outPlane + q${j};
#for i in 0..MT
    if (m + ${i}u < params.outChannels) {
#if BIAS
      let value = acc${i}_${j} + bias[m + ${i}u];
#else
      let value = acc${i}_${j};
#end
#if RELU
      y[base + ${i}u * outPlane] = max(value, 0.0);
#else
      y[base + ${i}u * outPlane] = value;
#end
    }
#end i
  }
#end j
}

// conv2d, stride 1, for CPU adapters: y[n][m][oy][ox] = bias[m] + sum_k w[m][k] x[n][ci][oy + ky][ox + kx]
//
// One subgroup computes MT channels of RY rows of NX * S columns, all in named registers. A row of x is gathered once per
// channel; its shifted copies for the kernel's columns come from shuffles by constant distances, which a CPU turns into
// register permutes. Weights are gathered S at a time and broadcast. No barrier, no workgroup memory.
//
// x     [N, groups * CI, H, W]  already padded
// w     [ceil(CO / MT)][CI][KH * KW][MT]  (packWeights)
// y     [N, CO, OH, OW]; with POOL the 2x2 means, half as many rows and columns
// grid  x: column tiles * row tiles, y: ceil(CO / MT), z: N;  workgroup: one subgroup of S lanes
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
  let tile = group.x % params.columnTiles;
  let ox = tile * ${S * NX}u + lane;
  let oy = (group.x / params.columnTiles) * ${RY}u;
  let m = group.y * ${MT}u;
  let plane = params.height * params.width;
  let image = (group.z * params.xChannels + params.firstChannel + m / params.channelsPerGroup * params.inChannels) * plane;
#for r in 0..RY + KH - 1, g in 0..NX + (KW > 1)
  var at${r}_${g} = image + min(oy + ${r}u, params.height - 1u) * params.width + min(ox + ${g * S}u, params.width - 1u);
#end r, g
#for i in 0..MT, j in 0..NX, r in 0..RY
  var acc${i}_${j}_${r} = 0.0;
#end i, j, r
#for t in 1..KW
  let from${t} = (lane + ${t}u) % ${S}u;
  let next${t} = lane >= ${S - t}u;
#end t
  var wAt = group.y * params.inChannels * ${KH * KW * MT}u + lane;
  for (var ci = 0u; ci < params.inChannels; ci++) {
#for v in 0..(KH * KW * MT + S - 1) / S
    let w${v} = w[wAt + ${v * S}u];
#end v
    wAt += ${KH * KW * MT}u;
#for r in 0..RY + KH - 1
    {
#for g in 0..NX + (KW > 1)
      let v${g}_0 = x[at${r}_${g}];
      at${r}_${g} += plane;
#end g
#for t in 1..KW
#for g in 0..NX + 1
      let s${g}_${t} = subgroupShuffle(v${g}_0, from${t});
#end g
#for g in 0..NX
      let v${g}_${t} = select(s${g}_${t}, s${g + 1}_${t}, next${t});
#end g
#end t
#for ky in 0..KH
#if r >= ky && r - ky < RY
#for kx in 0..KW, i in 0..MT
      let b${ky}_${kx}_${i} = subgroupBroadcast(w${((ky * KW + kx) * MT + i) / S}, ${((ky * KW + kx) * MT + i) % S}u);
#for j in 0..NX
      acc${i}_${j}_${r - ky} += b${ky}_${kx}_${i} * v${j}_${kx};
#end j
#end kx, i
#end
#end ky
    }
#end r
  }
  let outPlane = params.outHeight * params.outWidth;
#if POOL
  let base = (group.z * params.outChannels + m) * outPlane + oy / 2u * params.outWidth + ox / 2u;
#else
  let base = (group.z * params.outChannels + m) * outPlane + oy * params.outWidth + ox;
#end
#for i in 0..MT
  {
#if BIAS
    let shift = bias[min(m + ${i}u, params.outChannels - 1u)];
#else
    let shift = 0.0;
#end
#for r in 0..RY, j in 0..NX
#if RELU
    let y${j}_${r} = max(acc${i}_${j}_${r} + shift, 0.0);
#else
    let y${j}_${r} = acc${i}_${j}_${r} + shift;
#end
#end r, j
#if POOL
#for r in 0..RY / 2, j in 0..NX
    let pair${j}_${r} = y${j}_${2 * r} + y${j}_${2 * r + 1};
    let mean${j}_${r} = 0.25 * (pair${j}_${r} + subgroupShuffle(pair${j}_${r}, lane ^ 1u));
#end r, j
    if (m + ${i}u < params.outChannels && lane % 2u == 0u) {
#for r in 0..RY / 2, j in 0..NX
      if (oy / 2u + ${r}u < params.outHeight && ox / 2u + ${j * S / 2}u < params.outWidth) {
        y[base + ${i}u * outPlane + ${r}u * params.outWidth + ${j * S / 2}u] = mean${j}_${r};
      }
#end r, j
    }
#else
    if (m + ${i}u < params.outChannels) {
#for r in 0..RY, j in 0..NX
      if (oy + ${r}u < params.outHeight && ox + ${j * S}u < params.outWidth) {
        y[base + ${i}u * outPlane + ${r}u * params.outWidth + ${j * S}u] = y${j}_${r};
      }
#end r, j
    }
#end
  }
#end i
}

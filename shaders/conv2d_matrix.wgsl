// conv2d of any kernel size, stride and padding over halves, by products of small matrices that a subgroup computes together: an
// implicit matrix product, sums in f32.
//
// A workgroup is four subgroups of S lanes, two by two over a block of BM channels x BN pixels. A subgroup holds TM x TN sums of
// M channels x N pixels. A lot is 16 steps of input channels and taps: 8 words of every pixel and channel in workgroup memory,
// rows 12 words apart, so that eight of them start in different banks. There are two such buffers: while one is multiplied, the
// next lot is on its way, and one barrier a lot is enough. Sums leave through workgroup memory, a row of matrices at a time. With
// POOL the four pixels of a pooling window are BN / 4 apart in the block.
//
// x      [N, xChannels, H, W]
// w      [ceil(CO / BM), ceil(DEPTH / 16), BM, 8] words of two steps (conv2d_matrix_weights.wgsl), as vec4
// scale  [2] (halves_scale.wgsl)
// y      [N, CO, OH, OW]; with POOL the 2x2 means, half as many rows and columns
// grid   x: ceil(pixels / BN), y: ceil(CO / BM)
// reference: conv2dReference in src/kernels/conv2dReference.ts
enable f16;
enable chromium_experimental_subgroup_matrix;
// Offsets follow from the place in the workgroup, which is one for a whole subgroup: workgroups have one dimension.
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Weights = subgroup_matrix_left<f16, ${K}, ${M}>;
alias Pixels = subgroup_matrix_right<f16, ${N}, ${K}>;
alias Sums = subgroup_matrix_result<f32, ${N}, ${M}>;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4u>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(${3 + BIAS}) var<storage, read_write> y: array<f32>;
#params
#include halves

// Two buffers of [pixel][12 words] and [channel][12 words].
var<workgroup> tile: array<vec4u, ${2 * BUFFER}>;
// [channel][pixel]: M channels of the upper subgroups, then M of the lower ones.
var<workgroup> sums: array<f32, ${2 * M * PITCH}>;

@compute @workgroup_size(${4 * S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let places = params.batch * outPlane;
  let plane = params.height * params.width;
  let lots = (params.depth + 15u) / 16u;
  let down = index / ${2 * S}u;
  let across = index / ${S}u % 2u;
  let firstChannel = params.firstChannel + group.y * ${BM}u / params.channelsPerGroup * params.inChannels;
  // An invocation always loads the same pixels.
#for r in 0..XR
  let slot${r} = (index + ${4 * S * r}u) % ${BN}u;
#if POOL
  let place${r} = min(group.x * ${BN / 4}u + slot${r} % ${BN / 4}u, places - 1u);
  let q${r} = place${r} % outPlane;
  let top${r} = i32((2u * (q${r} / params.outWidth) + slot${r} / ${BN / 2}u) * params.stride) - i32(params.padding);
  let left${r} = i32((2u * (q${r} % params.outWidth) + slot${r} / ${BN / 4}u % 2u) * params.stride) - i32(params.padding);
#else
  let place${r} = min(group.x * ${BN}u + slot${r}, places - 1u);
  let q${r} = place${r} % outPlane;
  let top${r} = i32(q${r} / params.outWidth * params.stride) - i32(params.padding);
  let left${r} = i32(q${r} % params.outWidth * params.stride) - i32(params.padding);
#end
  let origin${r} = i32((place${r} / outPlane * params.xChannels + firstChannel) * plane) + top${r} * i32(params.width) + left${r};
#end r
#for i in 0..TM, j in 0..TN
  var acc${i}_${j}: Sums;
#end i, j
  for (var lot = 0u; lot <= lots; lot++) {
#for n in 0..XU
    var v${n}: vec4u;
#end n
#for n in 0..WU
    var u${n}: vec4u;
#end n
    if (lot < lots) {
#for n in 0..XU
      {
#for e in 0..8
        let step${e} = min(16u * lot + 8u * ((index + ${4 * S * n}u) / ${BN}u) + ${e}u, params.depth - 1u);
        let row${e} = step${e} % ${KH * KW}u / ${KW}u;
        let column${e} = step${e} % ${KW}u;
        let at${e} = origin${n % XR} + i32((step${e} / ${KH * KW}u * params.height + row${e}) * params.width + column${e});
#if PADDED
        let inside${e} = u32(top${n % XR} + i32(row${e})) < params.height && u32(left${n % XR} + i32(column${e})) < params.width;
        let x${e} = select(0.0, x[u32(select(0, at${e}, inside${e}))], inside${e});
#else
        let x${e} = x[u32(at${e})];
#end
#end e
        v${n} = vec4u(halves(vec2f(x0, x1)), halves(vec2f(x2, x3)), halves(vec2f(x4, x5)), halves(vec2f(x6, x7)));
      }
#end n
#for n in 0..WU
      u${n} = w[(group.y * lots + lot) * ${2 * BM}u + index + ${4 * S * n}u];
#end n
    }
    if (lot > 0u) {
      // WebGPU checks every access of workgroup memory. These bounds are never reached; a driver that sees them can drop the checks.
      let current = select(0u, ${BUFFER}u, (lot & 1u) == 0u);
#for k in 0..16 / K
      {
#for i in 0..TM
        let a${i} = subgroupMatrixLoad<Weights, row_major>(&tile, min(current + (down * ${TM * M}u + ${BN + i * M}u) * 3u + ${k * K / 8}u, ${2 * BUFFER - 3 * M + k * K / 8}u), 3u);
#end i
#for j in 0..TN
        let b${j} = subgroupMatrixLoad<Pixels, col_major>(&tile, min(current + (across * ${TN * N}u + ${j * N}u) * 3u + ${k * K / 8}u, ${2 * BUFFER - 3 * N + k * K / 8}u), 3u);
#for i in 0..TM
        acc${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, acc${i}_${j});
#end i
#end j
      }
#end k
    }
    if (lot < lots) {
      let following = select(0u, ${BUFFER}u, (lot & 1u) == 1u);
#for n in 0..XU
      tile[following + slot${n % XR} * 3u + (index + ${4 * S * n}u) / ${BN}u] = v${n};
#end n
#for n in 0..WU
      tile[following + (${BN}u + (index + ${4 * S * n}u) / 2u) * 3u + (index + ${4 * S * n}u) % 2u] = u${n};
#end n
    }
    workgroupBarrier();
  }
  let factor = scale[1];
  // The places of the results that an invocation stores: PX of them in a block.
#for r in 0..PR
  let column${r} = (index + ${4 * S * r}u) % ${PX}u;
  let result${r} = group.x * ${PX}u + column${r};
  let to${r} = result${r} / outPlane * params.outChannels * outPlane + result${r} % outPlane;
#end r
#for i in 0..TM
#if i > 0
  workgroupBarrier();
#end
#for j in 0..TN
  subgroupMatrixStore<row_major>(&sums, down * ${M * PITCH}u + across * ${TN * N}u + ${j * N}u, acc${i}_${j}, ${PITCH}u);
#end j
  workgroupBarrier();
  for (var row = index / ${PX}u; row < ${2 * M}u; row += ${QS}u) {
    let channel = group.y * ${BM}u + (row / ${M}u * ${TM}u + ${i}u) * ${M}u + row % ${M}u;
    if (channel < params.outChannels) {
#if BIAS
      let shift = bias[channel];
#else
      let shift = 0.0;
#end
#for r in 0..PR
      if (result${r} < places) {
#for j in 0..1 + 3 * POOL
#if RELU
        let o${j} = max(factor * sums[row * ${PITCH}u + column${r} + ${j * PX}u] + shift, 0.0);
#else
        let o${j} = factor * sums[row * ${PITCH}u + column${r} + ${j * PX}u] + shift;
#end
#end j
#if POOL
        y[to${r} + channel * outPlane] = 0.25 * (o0 + o1 + o2 + o3);
#else
        y[to${r} + channel * outPlane] = o0;
#end
      }
#end r
    }
  }
#end i
}

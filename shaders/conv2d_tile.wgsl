// conv2d of any kernel size, stride and padding, for GPUs: implicit matrix product in workgroup memory.
//
// M = output channels, P = output pixels (flattened over images and rows), K = CI * KH * KW. A workgroup computes MT channels
// of NP pixels, an invocation TM x TN of them in vec4 registers. BK steps of weights and pixels are staged in workgroup memory;
// the next ones are loaded while these are multiplied. With SL > 1 the invocations are SL slices of the block, each of which
// takes every SL-th step; their sums are added as a tree at the end. With PARTIAL a workgroup's sum runs over a part of K only.
//
// A vec4 of pixels is four columns of the block, a quarter of it apart, so that neighboring invocations load and store
// neighboring pixels. With POOL it is a pooling window, and P counts the pixels of windows.
//
// With STAGED a workgroup first puts the input channels of its part of K into workgroup memory, all images of them: the sums of
// PARTS parts, with SHIFT and RECTIFIED what a convolution in parts still lacks. With RESIZED x has SOURCE_H x SOURCE_W values a
// plane, which are resized to H x W as they are read from there.
//
// x     [N, xChannels, H, W]; with STAGED [PARTS, N, xChannels, SOURCE_H, SOURCE_W]
// w     [ceil(CO / MT)][K][MT]  (packWeights), as vec4
// y     [N, CO, OH, OW]; with POOL the 2x2 means, half as many rows and columns; with PARTIAL [splits, N, CO, OH, OW]
// grid  x: ceil(P / NP), y: ceil(CO / MT), z: splits
// reference: conv2dReference in src/kernels/conv2dReference.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<${WEIGHTS}>;
#if BIAS
@group(0) @binding(2) var<storage, read> bias: array<f32>;
#end
#if SHIFT
@group(0) @binding(${2 + BIAS}) var<storage, read> sourceBias: array<f32>;
#end
@group(0) @binding(${2 + BIAS + SHIFT}) var<storage, read_write> y: array<f32>;
#params

var<workgroup> wTile: array<vec4f, ${BK * MT / 4}>;  // [step BK][channel MT / 4]
var<workgroup> xTile: array<vec4f, ${BK * NP / 4}>;  // [step BK][pixel NP / 4]

#if STAGED
var<workgroup> source: array<f32, ${SOURCE_CHANNELS * SOURCE_IMAGES * SOURCE_H * SOURCE_W}>;  // [image][channel][place]
#end

#include blockLoads

#if RESIZED
// Step k of the four pixels whose windows begin at row `top` and column `left` of the resized planes; `at`: where the source's
// planes of the images begin.
fn loadResized(k: u32, at: vec4u, top: vec4i, left: vec4i, bounds: vec4u) -> vec4f {
  let tap = k % ${KH * KW}u;
  let row = tap / ${KW}u;
  let column = tap % ${KW}u;
  // Clamped indices stand for the clamped places of the definition.
  let placeY = (vec4f(top + i32(row)) + 0.5) * params.scaleY - 0.5;
  let placeX = (vec4f(left + i32(column)) + 0.5) * params.scaleX - 0.5;
  let firstY = floor(placeY);
  let firstX = floor(placeX);
  let ty = placeY - firstY;
  let tx = placeX - firstX;
  let base = at + k / ${KH * KW}u * ${SOURCE_H * SOURCE_W}u;
  let y0 = base + vec4u(clamp(vec4i(firstY), vec4i(), vec4i(${SOURCE_H - 1}))) * ${SOURCE_W}u;
  let y1 = base + vec4u(clamp(vec4i(firstY) + 1, vec4i(), vec4i(${SOURCE_H - 1}))) * ${SOURCE_W}u;
  let x0 = vec4u(clamp(vec4i(firstX), vec4i(), vec4i(${SOURCE_W - 1})));
  let x1 = vec4u(clamp(vec4i(firstX) + 1, vec4i(), vec4i(${SOURCE_W - 1})));
#for a in 0..2, b in 0..2
  let at${a}${b} = y${a} + x${b};
  let v${a}${b} = vec4f(source[at${a}${b}.x], source[at${a}${b}.y], source[at${a}${b}.z], source[at${a}${b}.w]);
#end a, b
  let value = (1.0 - ty) * ((1.0 - tx) * v00 + tx * v01) + ty * ((1.0 - tx) * v10 + tx * v11);
#if PADDED
  let inside = ((bounds >> vec4u(row)) & (bounds >> vec4u(16u + column)) & vec4u(1u)) == vec4u(1u);
  return select(vec4f(), value, inside);
#else
  return value;
#end
}
#end

#if !RESIZED
// Step k of the four pixels whose windows begin at `at`. The low half of `bounds` tells rows inside, the high half columns.
fn loadPixels(k: u32, at: vec4u, bounds: vec4u) -> vec4f {
  let tap = k % ${KH * KW}u;
  let row = tap / ${KW}u;
  let column = tap % ${KW}u;
  let start = at + ((k / ${KH * KW}u * params.height + row) * params.width + column);
#if PADDED
  let inside = ((bounds >> vec4u(row)) & (bounds >> vec4u(16u + column)) & vec4u(1u)) == vec4u(1u);
  let safe = select(vec4u(), start, inside);
#if STAGED
  return select(vec4f(), vec4f(source[safe.x], source[safe.y], source[safe.z], source[safe.w]), inside);
#else
  return select(vec4f(), vec4f(x[safe.x], x[safe.y], x[safe.z], x[safe.w]), inside);
#end
#else
#if STAGED
  return vec4f(source[start.x], source[start.y], source[start.z], source[start.w]);
#else
  return vec4f(x[start.x], x[start.y], x[start.z], x[start.w]);
#end
#end
}
#end

@compute @workgroup_size(${LX * LY * SL})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let outputs = params.batch * outPlane;
  let depth = params.inChannels * ${KH * KW}u;
  let weights = depth * ${MT / 4}u;
  // An invocation always stages the same pixels.
#include blockPixels
  let top = vec4i(row * params.stride) - i32(params.padding);
  let left = vec4i(column * params.stride) - i32(params.padding);
  let firstChannel = params.firstChannel + group.y * ${MT}u / params.channelsPerGroup * params.inChannels;
#if STAGED
#if RESIZED
  let at = image * ${SOURCE_CHANNELS * SOURCE_H * SOURCE_W}u;
#else
  let at = image * ${SOURCE_CHANNELS * SOURCE_H * SOURCE_W}u + vec4u(top) * params.width + vec4u(left);
#end
#else
  // Wraps below zero where a window begins before the first value; the values inside it come out right.
  let at = ((image * params.xChannels + firstChannel) * params.height + vec4u(top)) * params.width + vec4u(left);
#end
#if PADDED
  let bounds = tapsInside(top, ${KH}, params.height) | (tapsInside(left, ${KW}, params.width) << vec4u(16u));
#else
  let bounds = vec4u();
#end
  let step = index / ${NP / 4}u;
#if PARTIAL
  let first = group.z * params.stepsPerSplit;
  let last = min(first + params.stepsPerSplit, depth);
#else
  let first = 0u;
  let last = depth;
#end
#if STAGED
  let skipped = first / ${KH * KW}u;
  for (var i = index; i < ${SOURCE_CHANNELS * SOURCE_IMAGES * SOURCE_H * SOURCE_W}u; i += ${LX * LY * SL}u) {
    let channel = firstChannel + min(skipped + i / ${SOURCE_H * SOURCE_W}u % ${SOURCE_CHANNELS}u, params.inChannels - 1u);
    let begin = (i / ${SOURCE_CHANNELS * SOURCE_H * SOURCE_W}u * params.xChannels + channel) * ${SOURCE_H * SOURCE_W}u + i % ${SOURCE_H * SOURCE_W}u;
#for p in 0..PARTS
    let part${p} = x[begin + ${p}u * params.partSize];
#end p
    var sum = part0;
#for p in 1..PARTS
    sum += part${p};
#end p
#if SHIFT
    sum += sourceBias[channel];
#end
#if RECTIFIED
    sum = max(sum, 0.0);
#end
    source[i] = sum;
  }
  workgroupBarrier();
  let skip = skipped * ${KH * KW}u;
#else
  let skip = 0u;
#end
#include blockLanes
#for i in 0..TM, j in 0..TN / 4
  var acc${i}_${j} = vec4f();
#end i, j
  // One turn more than there are stages: a stage is loaded while the one before is multiplied.
  for (var k0 = first; ; k0 += ${BK}u) {
    let loads = k0 < last;
#for i in 0..BK * MT / 4 / (LX * LY * SL)
    var w${i} = vec4f();
#end i
#for i in 0..BK * NP / 4 / (LX * LY * SL)
    var x${i} = vec4f();
#end i
    if (loads) {
#for i in 0..BK * MT / 4 / (LX * LY * SL)
      w${i} = loadWeights(group.y, k0 * ${MT / 4}u + index + ${i * LX * LY * SL}u, weights);
#end i
#for i in 0..BK * NP / 4 / (LX * LY * SL)
#if RESIZED
      x${i} = loadResized(min(k0 + step + ${i * LX * LY * SL / (NP / 4)}u, depth - 1u) - skip, at, top, left, bounds);
#else
      x${i} = loadPixels(min(k0 + step + ${i * LX * LY * SL / (NP / 4)}u, depth - 1u) - skip, at, bounds);
#end
#end i
    }
    if (k0 > first) {
      for (var k = 0u; k < ${BK / SL}u; k += 4u) {
        let fromRows = k * ${SL * MT / 4}u + sliceRows;
        let fromColumns = k * ${SL * NP / 4}u + sliceColumns;
#for k in 0..4
        {
#for j in 0..TN / 4
          let b${j} = xTile[fromColumns + ${k * SL * NP / 4 + j * LX}u];
#end j
#for q in 0..TM / 4
          let a${q} = wTile[fromRows + ${k * SL * MT / 4 + q}u];
#for i in 0..4, j in 0..TN / 4
          acc${q * 4 + i}_${j} += a${q}[${i}] * b${j};
#end i, j
#end q
        }
#end k
      }
      workgroupBarrier();
    }
    if (!loads) {
      break;
    }
#for i in 0..BK * MT / 4 / (LX * LY * SL)
    wTile[index + ${i * LX * LY * SL}u] = w${i};
#end i
#for i in 0..BK * NP / 4 / (LX * LY * SL)
    xTile[index + ${i * LX * LY * SL}u] = x${i};
#end i
    workgroupBarrier();
  }
#if SL > 1
  for (var half = ${SL / 2}u; half > 0u; half /= 2u) {
    let other = slice % half * ${LX * LY * TM * TN / 4}u + lane;
    if (slice >= half && slice < 2u * half) {
#for i in 0..TM, j in 0..TN / 4
      wTile[other + ${(i * TN / 4 + j) * LX * LY}u] = acc${i}_${j};
#end i, j
    }
    workgroupBarrier();
    if (slice < half) {
#for i in 0..TM, j in 0..TN / 4
      acc${i}_${j} += wTile[other + ${(i * TN / 4 + j) * LX * LY}u];
#end i, j
    }
    workgroupBarrier();
  }
  if (slice > 0u) {
    return;
  }
#end
  let m = group.y * ${MT}u + ly * ${TM}u;
#for j in 0..TN / 4, e in 0..4 - 3 * POOL
  let out${j}_${e} = group.x * ${NP / (1 + 3 * POOL)}u + lx + ${j * LX + e * NP / 4}u;
#if IMAGES
  let place${j}_${e} = out${j}_${e} / outPlane * params.outChannels * outPlane + out${j}_${e} % outPlane + m * outPlane;
#else
  let place${j}_${e} = out${j}_${e} + m * outPlane;
#end
#end j, e
#if PARTIAL
  let part = group.z * params.outChannels * outputs;
#else
  let part = 0u;
#end
#for i in 0..TM
  if (m + ${i}u < params.outChannels) {
#if BIAS
    let shift = bias[m + ${i}u];
#end
#for j in 0..TN / 4
    {
#if BIAS
      var value = acc${i}_${j} + shift;
#else
      var value = acc${i}_${j};
#end
#if RELU
      value = max(value, vec4f());
#end
#if POOL
      if (out${j}_0 < outputs) {
        y[place${j}_0 + ${i}u * outPlane] = 0.25 * (value.x + value.y + value.z + value.w);
      }
#else
#for e in 0..4
      if (out${j}_${e} < outputs) {
        y[part + place${j}_${e} + ${i}u * outPlane] = value[${e}];
      }
#end e
#end
    }
#end j
  }
#end i
}

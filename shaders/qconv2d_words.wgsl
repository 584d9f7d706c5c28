// Quantized conv2d of any kernel size, stride and padding over u8 activations, for GPUs: implicit matrix product of packed
// words in workgroup memory.
//
// M = output channels, P = output pixels (flattened over images and rows), K = words of four input channels x taps. A workgroup
// computes MT channels of NP pixels, an invocation TM x TN of them. BK steps of weights and pixels are staged in workgroup
// memory; the next ones are loaded while these are multiplied. With SL > 1 the invocations are SL slices of the block, each of
// which takes every SL-th step; their sums are integers and are added as a tree at the end, in the same dispatch.
//
// Unsigned codes become signed ones by turning their highest bit. A vec4 of pixels is four columns of the block, a quarter of it
// apart, so that neighboring invocations load and store neighboring pixels. With POOL it is a pooling window, and P counts
// the pixels of windows.
//
// w      signed bytes [ceil(CO / MT)][ceil(CI / 4)][KH * KW][MT] (qconv2d_word_weights.wgsl), as vec4
// the others: qconv2d
// grid   x: ceil(P / NP), y: ceil(CO / MT)
// reference: qconv2dReference in src/kernels/qconv2dReference.ts
#include qconv2d
#include dot4

var<workgroup> wTile: array<vec4u, ${BK * MT / 4}>;  // [step BK][channel MT / 4]
var<workgroup> xTile: array<vec4u, ${BK * NP / 4}>;  // [step BK][pixel NP / 4]

#include blockLoads

// Step k of the four pixels whose windows begin at `at`. The low half of `bounds` tells rows inside, the high half columns.
fn loadPixels(k: u32, at: vec4u, bounds: vec4u, empty: u32) -> vec4u {
  let tap = k % ${KH * KW}u;
  let row = tap / ${KW}u;
  let column = tap % ${KW}u;
  let start = at + ((k / ${KH * KW}u * params.height + row) * params.width + column);
#if PADDED
  let inside = ((bounds >> vec4u(row)) & (bounds >> vec4u(16u + column)) & vec4u(1u)) == vec4u(1u);
  let safe = select(vec4u(), start, inside);
  return select(vec4u(empty), vec4u(x[safe.x], x[safe.y], x[safe.z], x[safe.w]), inside) ^ vec4u(0x80808080u);
#else
  return vec4u(x[start.x], x[start.y], x[start.z], x[start.w]) ^ vec4u(0x80808080u);
#end
}

@compute @workgroup_size(${LX * LY * SL})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let outputs = params.batch * outPlane;
  let depth = params.inWords * ${KH * KW}u;
  let weights = depth * ${MT / 4}u;
  // An invocation always stages the same pixels.
#include blockPixels
  let top = vec4i(row * ${STRIDE}u) - ${PADDING};
  let left = vec4i(column * ${STRIDE}u) - ${PADDING};
  // Wraps below zero where a window begins before the first value; the words inside it come out right.
  let at = (image * params.xWords * params.height + vec4u(top)) * params.width + vec4u(left);
#if PADDED
  let bounds = tapsInside(top, ${KH}, params.height) | (tapsInside(left, ${KW}, params.width) << vec4u(16u));
#else
  let bounds = vec4u();
#end
  let empty = u32(inRange.y) * 0x01010101u;
  let step = index / ${NP / 4}u;
#include blockLanes
#for i in 0..TM, j in 0..TN
  var acc${i}_${j} = 0;
#end i, j
  // One turn more than there are stages: a stage is loaded while the one before is multiplied.
  for (var k0 = 0u; ; k0 += ${BK}u) {
    let loads = k0 < depth;
#for i in 0..BK * MT / 4 / (LX * LY * SL)
    var w${i} = vec4u();
#end i
#for i in 0..BK * NP / 4 / (LX * LY * SL)
    var x${i} = vec4u();
#end i
    if (loads) {
#for i in 0..BK * MT / 4 / (LX * LY * SL)
      w${i} = loadWeights(group.y, k0 * ${MT / 4}u + index + ${i * LX * LY * SL}u, weights);
#end i
#for i in 0..BK * NP / 4 / (LX * LY * SL)
      x${i} = loadPixels(min(k0 + step + ${i * LX * LY * SL / (NP / 4)}u, depth - 1u), at, bounds, empty);
#end i
    }
    if (k0 > 0u) {
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
#for i in 0..4, j in 0..TN
          acc${q * 4 + i}_${j} += dot4(a${q}[${i}], b${j / 4}[${j % 4}]);
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
      wTile[other + ${(i * TN / 4 + j) * LX * LY}u] = bitcast<vec4u>(vec4i(acc${i}_${4 * j}, acc${i}_${4 * j + 1}, acc${i}_${4 * j + 2}, acc${i}_${4 * j + 3}));
#end i, j
    }
    workgroupBarrier();
    if (slice < half) {
#for i in 0..TM, j in 0..TN / 4
      let part${i}_${j} = bitcast<vec4i>(wTile[other + ${(i * TN / 4 + j) * LX * LY}u]);
#for e in 0..4
      acc${i}_${4 * j + e} += part${i}_${j}[${e}];
#end e
#end i, j
    }
    workgroupBarrier();
  }
  if (slice > 0u) {
    return;
  }
#end
  let m = group.y * ${MT}u + ly * ${TM}u;
#for i in 0..TM
  let channel${i} = min(m + ${i}u, params.outChannels - 1u);
  let entry${i} = table[channel${i}];
  let shift${i} = bias[channel${i}];
#for j in 0..TN
  let y${i}_${j} = rectified(scaled(acc${i}_${j}, entry${i}) + shift${i});
#end j
#if POOL
#for j in 0..TN / 4
  let o${i}_${j} = 0.25 * (y${i}_${4 * j} + y${i}_${4 * j + 2} + y${i}_${4 * j + 1} + y${i}_${4 * j + 3});
#end j
#else
#for j in 0..TN
  let o${i}_${j} = y${i}_${j};
#end j
#end
#end i
#for j in 0..TN / (1 + 3 * POOL)
  {
#if POOL
    let pixel = group.x * ${NP / 4}u + lx + ${j * LX}u;
#else
    let pixel = group.x * ${NP}u + lx + ${j / 4 * LX + j % 4 * NP / 4}u;
#end
#if IMAGES
    let image = pixel / outPlane;
    let place = pixel % outPlane;
#else
    let image = 0u;
    let place = pixel;
#end
    if (pixel < outputs) {
#for q in 0..TM / 4
      storeChannels(image, m + ${4 * q}u, place, vec4f(o${4 * q}_${j}, o${4 * q + 1}_${j}, o${4 * q + 2}_${j}, o${4 * q + 3}_${j}));
#end q
    }
  }
#end j
}

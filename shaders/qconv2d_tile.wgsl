// Quantized conv2d of any kernel size, stride and padding, for GPUs: an implicit matrix product in workgroup memory.
//
// A workgroup computes 64 channels of 64 pixels, an invocation 4 x 4 of them. Weights are decoded once per workgroup, when
// they are staged: for u8 activations to four signed bytes, left-justified, that dot4I8Packed takes as they are; a sum is
// shifted back at its end. Unsigned codes become signed ones by turning their highest bit. With POOL the four pixels of an
// invocation are a pooling window.
//
// w      [ceil(CO / 8)][ceil(CI / 4)][KH * KW] blocks (qweights)
// the others: qconv2d
// grid   x: ceil(pixels / 64), y: ceil(CO / 64)
// reference: qconv2dReference in src/kernels/qconv2dReference.ts
#include qconv2d
#include qweights
#if U8
#include qload
#end

// [step][channel] and [step][pixel]; a step is four input channels at one tap.
#if U8
var<workgroup> wTile: array<u32, ${BK * 64}>;
var<workgroup> xTile: array<u32, ${BK * 64}>;
#else
var<workgroup> wTile: array<vec4f, ${BK * 64}>;
var<workgroup> xTile: array<vec4f, ${BK * 64}>;
#end

#if U8
#include dot4
#end

// A sum of products with left-justified weights.
fn justified(sum: ${SUM}) -> ${SUM} {
#if U8
  return sum >> ${SHIFT}u;
#else
  return sum;
#end
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let pixels = params.batch * outPlane * ${1 + 3 * POOL}u;
  let plane = params.height * params.width;
  let taps = params.kernelHeight * params.kernelWidth;
  let depth = params.inWords * taps;
  let blocks = (params.outChannels + 7u) / 8u;
  // An invocation always stages the same pixel and the same channel.
  let p = min(group.x * 64u + index % 64u, pixels - 1u);
#if POOL
  let image = p / 4u / outPlane;
  let q = p / 4u % outPlane;
  let top = i32(2u * (q / params.outWidth) + p / 2u % 2u) - i32(params.padding);
  let left = i32(2u * (q % params.outWidth) + p % 2u) - i32(params.padding);
#else
  let image = p / outPlane;
  let q = p % outPlane;
  let top = i32(q / params.outWidth * params.stride) - i32(params.padding);
  let left = i32(q % params.outWidth * params.stride) - i32(params.padding);
#end
  let staged = group.y * 64u + index % 64u;
#if U8
  let empty = u32(inRange.y) * 0x01010101u;
#end
#for i in 0..4, j in 0..4
  var acc${i}_${j}: ${SUM};
#if GROUPS > 1
  var total${i}_${j} = 0.0;
#end
#end i, j
  for (var k0 = 0u; k0 < depth; k0 += ${BK}u) {
#for n in 0..BK / 4
    {
      let k = k0 + index / 64u + ${4 * n}u;
      let slot = index + ${256 * n}u;
      let c = min(k, depth - 1u) / taps;
      let tap = min(k, depth - 1u) % taps;
      let bits = weightBits((min(staged / 8u, blocks - 1u) * params.inWords + c) * taps + tap, staged % 8u);
      let iy = top + i32(tap / params.kernelWidth);
      let ix = left + i32(tap % params.kernelWidth);
      let inside = iy >= 0 && ix >= 0 && iy < i32(params.height) && ix < i32(params.width);
      let at = image * params.xWords * plane + u32(clamp(iy, 0, i32(params.height) - 1)) * params.width + u32(clamp(ix, 0, i32(params.width) - 1));
#if U8
      wTile[slot] = select(0u, weightBytes(bits), k < depth);
      xTile[slot] = select(empty, codeWord(at, c, plane), inside) ^ 0x80808080u;
#else
      wTile[slot] = select(vec4f(), vec4f(weightCodes(bits)), k < depth);
#for e in 0..PARTS
      let v${e} = select(0u, x[at + min(c * ${PARTS}u + ${e}u, params.xWords - 1u) * plane], inside && c * ${PARTS}u + ${e}u < params.xWords);
#end e
#if PARTS == 2
      xTile[slot] = vec4f(unpack2x16float(v0), unpack2x16float(v1));
#else
      xTile[slot] = bitcast<vec4f>(vec4u(v0, v1, v2, v3));
#end
#end
    }
#end n
    workgroupBarrier();
#for k in 0..BK
    {
#for i in 0..4
      let a${i} = wTile[${64 * k}u + local.y * 4u + ${i}u];
#end i
#for j in 0..4
      let b${j} = xTile[${64 * k}u + local.x * 4u + ${j}u];
#end j
#for i in 0..4, j in 0..4
#if U8
      acc${i}_${j} += dot4(a${i}, b${j});
#else
      acc${i}_${j} += dot(a${i}, b${j});
#end
#end i, j
    }
#end k
    workgroupBarrier();
#if GROUPS > 1
    if ((k0 + ${BK}u) % (params.groupWords * taps) == 0u) {
      let part = k0 / (params.groupWords * taps);
#for i in 0..4
      let entry${i} = table[min(group.y * 64u + local.y * 4u + ${i}u, params.outChannels - 1u) * ${GROUPS}u + part];
#for j in 0..4
      total${i}_${j} += scaled(justified(acc${i}_${j}), entry${i});
      acc${i}_${j} = ${SUM}();
#end j
#end i
    }
#end
  }
  let m = group.y * 64u + local.y * 4u;
#for i in 0..4
  let channel${i} = min(m + ${i}u, params.outChannels - 1u);
  let shift${i} = bias[channel${i}];
#if GROUPS == 1
  let entry${i} = table[channel${i}];
#end
#for j in 0..4
#if GROUPS == 1
  let total${i}_${j} = scaled(justified(acc${i}_${j}), entry${i});
#end
  let y${i}_${j} = rectified(total${i}_${j} + shift${i});
#end j
#if POOL
  let o${i}_0 = 0.25 * (y${i}_0 + y${i}_2 + y${i}_1 + y${i}_3);
#else
#for j in 0..4
  let o${i}_${j} = y${i}_${j};
#end j
#end
#end i
#if OUT == 4
  // A word holds the channels of two invocations: those of the upper four go through workgroup memory, which is free by now.
#for j in 0..4 / (1 + 3 * POOL)
  let codes${j} = channelCodes(m, vec4f(o0_${j}, o1_${j}, o2_${j}, o3_${j}));
  if (local.y % 2u == 1u) {
    wTile[(local.y / 2u * 16u + local.x) * 4u + ${j}u] = codes${j};
  }
#end j
  workgroupBarrier();
#end
#for j in 0..4 / (1 + 3 * POOL)
  {
    let pixel = (group.x * 64u + local.x * 4u) / ${1 + 3 * POOL}u + ${j}u;
    if (pixel < params.batch * outPlane) {
#if OUT == 4
      if (local.y % 2u == 0u) {
        storeHalves(pixel / outPlane, m, pixel % outPlane, codes${j}, wTile[(local.y / 2u * 16u + local.x) * 4u + ${j}u]);
      }
#else
      storeChannels(pixel / outPlane, m, pixel % outPlane, vec4f(o0_${j}, o1_${j}, o2_${j}, o3_${j}));
#end
    }
  }
#end j
}

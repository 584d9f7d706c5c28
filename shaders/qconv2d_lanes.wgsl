// Quantized conv2d of any kernel size and stride, for CPU adapters: lanes along output pixels (flattened over images and rows).
//
// One subgroup computes 8 channels of NT * S pixels. Each word of x is gathered once per tap; weights are decoded by the
// lanes that hold their channels and broadcast. Integers are multiplied as floats, exact below 2^24: sums move to i32 after
// every row of taps.
//
// x      words of activations, already padded (qstore)
// w      [ceil(CO / 8)][ceil(CI / 4)][KH * KW] blocks (qweights)
// table  [CO, GROUPS] of (scale, sum of the weights' codes)
// y      as OUT says
// grid   x: ceil(N * OH * OW / (NT * S)), y: ceil(CO / 8);  workgroup: one subgroup of S lanes
// reference: qconv2dReference in src/kernels/qconv2d.ts
enable subgroups;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<vec2f>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#if U8
@group(0) @binding(4) var<storage, read> inRange: vec4f;
#end
#if OUT == 8
@group(0) @binding(${4 + U8}) var<storage, read> outRange: vec4f;
#end
#if OUT == 32
@group(0) @binding(${4 + U8}) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(${4 + U8 + (OUT == 8)}) var<storage, read_write> y: array<u32>;
#end
#params
#include qweights
#include qstore

@compute @workgroup_size(${S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let pixels = params.batch * outPlane;
  let plane = params.height * params.width;
  let m = group.y * 8u;
#for j in 0..NT
  let p${j} = group.x * ${S * NT}u + ${j * S}u + lane;
  let n${j} = min(p${j}, pixels - 1u) / outPlane;
  let q${j} = min(p${j}, pixels - 1u) % outPlane;
  let at${j} = n${j} * params.xWords * plane + (q${j} / params.outWidth) * params.stride * params.width + (q${j} % params.outWidth) * params.stride;
#end j
#for i in 0..8, j in 0..NT
#if U8
  var sum${i}_${j} = 0;
#end
  var acc${i}_${j} = 0.0;
#if GROUPS > 1
  var total${i}_${j} = 0.0;
#end
#end i, j
  var block = group.y * params.inWords * params.kernelHeight * ${KW}u;
  for (var c = 0u; c < params.inWords; c++) {
    for (var ky = 0u; ky < params.kernelHeight; ky++) {
#for kx in 0..KW
      {
#for h in 0..(8 + S - 1) / S
        let w${h} = vec4f(weightCodes(weightBits(block + ${kx}u, (lane + ${h * S}u) % 8u)));
#end h
#for e in 0..PARTS
        {
#for j in 0..NT
#if RAGGED
          let v${j} = select(0u, x[at${j} + min(c * ${PARTS}u + ${e}u, params.xWords - 1u) * plane + ky * params.width + ${kx}u], c * ${PARTS}u + ${e}u < params.xWords);
#else
          let v${j} = x[at${j} + (c * ${PARTS}u + ${e}u) * plane + ky * params.width + ${kx}u];
#end
#for u in 0..4 / PARTS
#if PARTS == 1
          let f${j}_${u} = f32((v${j} >> ${8 * u}u) & 255u);
#end
#if PARTS == 2
          let f${j}_${u} = unpack2x16float(v${j})[${u}];
#end
#if PARTS == 4
          let f${j}_${u} = bitcast<f32>(v${j});
#end
#end u
#end j
#for u in 0..4 / PARTS, i in 0..8
          let b${i}_${u} = subgroupBroadcast(w${i / S}[${e * 4 / PARTS + u}], ${i % S}u);
#for j in 0..NT
          acc${i}_${j} += b${i}_${u} * f${j}_${u};
#end j
#end u, i
        }
#end e
      }
#end kx
      block += ${KW}u;
#if U8
#for i in 0..8, j in 0..NT
      sum${i}_${j} += i32(acc${i}_${j});
      acc${i}_${j} = 0.0;
#end i, j
#end
    }
#if GROUPS > 1
    if ((c + 1u) % params.groupWords == 0u) {
      let part = c / params.groupWords;
#for i in 0..8
      let entry${i} = table[min(m + ${i}u, params.outChannels - 1u) * ${GROUPS}u + part];
#for j in 0..NT
#if U8
      total${i}_${j} += f32(sum${i}_${j} - i32(entry${i}.y) * i32(inRange.y)) * (entry${i}.x * inRange.x);
      sum${i}_${j} = 0;
#else
      total${i}_${j} += acc${i}_${j} * entry${i}.x;
      acc${i}_${j} = 0.0;
#end
#end j
#end i
    }
#end
  }
#for i in 0..8
  let channel${i} = min(m + ${i}u, params.outChannels - 1u);
  let shift${i} = bias[channel${i}];
#if GROUPS == 1
  let entry${i} = table[channel${i}];
#end
#for j in 0..NT
#if GROUPS > 1
  let z${i}_${j} = total${i}_${j} + shift${i};
#else
#if U8
  let z${i}_${j} = f32(sum${i}_${j} - i32(entry${i}.y) * i32(inRange.y)) * (entry${i}.x * inRange.x) + shift${i};
#else
  let z${i}_${j} = acc${i}_${j} * entry${i}.x + shift${i};
#end
#end
#if RELU
  let o${i}_${j} = max(z${i}_${j}, 0.0);
#else
  let o${i}_${j} = z${i}_${j};
#end
#end j
#end i
#for j in 0..NT
  if (p${j} < pixels) {
#if OUT == 32
#for i in 0..8
    if (m + ${i}u < params.outChannels) {
      y[(n${j} * params.outChannels + m + ${i}u) * outPlane + q${j}] = o${i}_${j};
    }
#end i
#end
#if OUT == 16
#for i in 0..4
    if (m + ${2 * i}u < params.outChannels) {
      let last = select(0.0, o${2 * i + 1}_${j}, m + ${2 * i + 1}u < params.outChannels);
      y[(n${j} * ((params.outChannels + 1u) / 2u) + m / 2u + ${i}u) * outPlane + q${j}] = pack2x16float(vec2f(o${2 * i}_${j}, last));
    }
#end i
#end
#if OUT == 8
#for i in 0..2
    if (m + ${4 * i}u < params.outChannels) {
      let values = vec4f(o${4 * i}_${j}, o${4 * i + 1}_${j}, o${4 * i + 2}_${j}, o${4 * i + 3}_${j});
      let real = vec4u(${4 * i}u, ${4 * i + 1}u, ${4 * i + 2}u, ${4 * i + 3}u) + m < vec4u(params.outChannels);
      y[(n${j} * ((params.outChannels + 3u) / 4u) + m / 4u + ${i}u) * outPlane + q${j}] = codesOf(select(vec4f(), values, real), outRange);
    }
#end i
#end
  }
#end j
}

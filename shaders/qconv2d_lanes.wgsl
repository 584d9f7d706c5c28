// Quantized conv2d of any kernel size and stride, for CPU adapters: lanes along output pixels (flattened over images and rows).
//
// One subgroup computes 8 channels of NT * S pixels. Each word of x is gathered once per tap; weights are decoded by the
// lanes that hold their channels and broadcast. Of a block of 4 input channels the first FILLED are multiplied: an image
// has 3. Integers are multiplied as floats, exact below 2^24: what a row of taps adds up to (INTO row) moves to an i32 sum
// behind it, or once at the end where all products together stay below (WHOLE).
//
// x      already padded
// w      [ceil(CO / 8)][ceil(CI / 4)][KH * KW] blocks (qweights)
// the others: qconv2d, without POOL
// grid   x: ceil(N * OH * OW / (NT * S)), y: ceil(CO / 8);  workgroup: one subgroup of S lanes
// reference: qconv2dReference in src/kernels/qconv2dReference.ts
enable subgroups;

#include qconv2d
#include qweights
#if U8
#include qload
#end

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
  var row${i}_${j} = 0.0;
#end
#if !WHOLE
  var sum${i}_${j}: ${SUM};
#end
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
#if U8
          let v${j} = codeWord(at${j} + ky * params.width + ${kx}u, c, plane);
#else
          let v${j} = x[at${j} + (c * ${PARTS}u + ${e}u) * plane + ky * params.width + ${kx}u];
#end
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
#if e * 4 / PARTS + u < FILLED
          let b${i}_${u} = subgroupBroadcast(w${i / S}[${e * 4 / PARTS + u}], ${i % S}u);
#for j in 0..NT
          ${INTO}${i}_${j} += b${i}_${u} * f${j}_${u};
#end j
#end
#end u, i
        }
#end e
      }
#end kx
      block += ${KW}u;
#if U8 && !WHOLE
#for i in 0..8, j in 0..NT
      sum${i}_${j} += i32(row${i}_${j});
      row${i}_${j} = 0.0;
#end i, j
#end
    }
#if GROUPS > 1
    if ((c + 1u) % params.groupWords == 0u) {
      let part = c / params.groupWords;
#for i in 0..8
      let entry${i} = table[min(m + ${i}u, params.outChannels - 1u) * ${GROUPS}u + part];
#for j in 0..NT
      total${i}_${j} += scaled(sum${i}_${j}, entry${i});
      sum${i}_${j} = ${SUM}();
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
#if WHOLE
  let sum${i}_${j} = i32(row${i}_${j});
#end
#if GROUPS == 1
  let total${i}_${j} = scaled(sum${i}_${j}, entry${i});
#end
  let o${i}_${j} = rectified(total${i}_${j} + shift${i});
#end j
#end i
#for j in 0..NT
  if (p${j} < pixels) {
    storeEight(n${j}, m, q${j}, vec4f(o0_${j}, o1_${j}, o2_${j}, o3_${j}), vec4f(o4_${j}, o5_${j}, o6_${j}, o7_${j}));
  }
#end j
}

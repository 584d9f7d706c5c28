// Quantized conv2d, stride 1, for CPU adapters: weights of BITS bits times u8, f16 or f32 activations.
//
// One subgroup computes 8 channels of RY rows of NX * S columns in named registers. A word of x is loaded once; its shifted
// copies for the kernel's columns come from shuffles. Of u8 activations two channels are multiplied together as 16-bit
// halves of a word: the driver's compiler makes one multiply-add of pairs of it, where 32-bit products would take several.
//
// x      already padded
// w      [ceil(CO / 8)][ceil(CI / 4)][KH * KW] blocks (qweights)
// the others: qconv2d
// grid   x: column tiles * row tiles, y: ceil(CO / 8), z: N;  workgroup: one subgroup of S lanes
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
  let tile = group.x % params.columnTiles;
  let ox = tile * ${S * NX}u + lane;
  let oy = (group.x / params.columnTiles) * ${RY}u;
  let m = group.y * 8u;
  let plane = params.height * params.width;
  let image = group.z * params.xWords * plane;
#for r in 0..RY + KH - 1, g in 0..NX + (KW > 1)
  let at${r}_${g} = min(oy + ${r}u, params.height - 1u) * params.width + min(ox + ${g * S}u, params.width - 1u);
#end r, g
#for i in 0..8, j in 0..NX, r in 0..RY
  var acc${i}_${j}_${r}: ${SUM};
#if GROUPS > 1
  var total${i}_${j}_${r} = 0.0;
#end
#end i, j, r
#for t in 1..KW
  let from${t} = (lane + ${t}u) % ${S}u;
  let next${t} = lane >= ${S - t}u;
#end t
  var block = group.y * params.inWords * ${KH * KW}u;
  for (var c = 0u; c < params.inWords; c++) {
#for t in 0..KH * KW, h in 0..(8 + S - 1) / S
    let q${t}_${h} = weightBits(block + ${t}u, (lane + ${h * S}u) % 8u);
#end t, h
    block += ${KH * KW}u;
    // The channels of a word are a loop at run time: unrolled, the code would outgrow a CPU's instruction cache.
    for (var k = 0u; k < 4u; k += ${4 / PARTS}u) {
#if PARTS == 1
      let word = c;
#else
      let word = c * ${PARTS}u + k / ${4 / PARTS}u;
#end
#for r in 0..RY + KH - 1
#for g in 0..NX + (KW > 1)
#if RAGGED
      let v${r}_${g}_0 = select(0u, x[image + min(word, params.xWords - 1u) * plane + at${r}_${g}], word < params.xWords);
#else
#if U8
      let v${r}_${g}_0 = codeWord(image + at${r}_${g}, word, plane);
#else
      let v${r}_${g}_0 = x[image + word * plane + at${r}_${g}];
#end
#end
#end g
#for t in 1..KW
#for g in 0..NX + 1
      let s${r}_${g}_${t} = subgroupShuffle(v${r}_${g}_0, from${t});
#end g
#for g in 0..NX
      let v${r}_${g}_${t} = select(s${r}_${g}_${t}, s${r}_${g + 1}_${t}, next${t});
#end g
#end t
#end r
#if U8
      // Channels u and u + 2 together.
      for (var u = 0u; u < 2u; u++) {
        let low = ${32 - BITS}u - u * ${BITS}u;
        let high = ${32 - BITS}u - (u + 2u) * ${BITS}u;
#for t in 0..KH * KW, h in 0..(8 + S - 1) / S
#if BITS == 2
        let e${t}_${h} = ((2 * (i32(q${t}_${h} << low) >> 30u) + 1) & 0xffff) | ((2 * (i32(q${t}_${h} << high) >> 30u) + 1) << 16u);
#else
        let e${t}_${h} = ((i32(q${t}_${h} << low) >> ${32 - BITS}u) & 0xffff) | ((i32(q${t}_${h} << high) >> ${32 - BITS}u) << 16u);
#end
#end t, h
#for r in 0..RY + KH - 1
        {
#for t in 0..KW, g in 0..NX
          let f${g}_${t} = i32((v${r}_${g}_${t} >> (8u * u)) & 0x00ff00ffu);
#end t, g
#for ky in 0..KH
#if r >= ky && r - ky < RY
#for kx in 0..KW, i in 0..8
          let b${ky}_${kx}_${i} = subgroupBroadcast(e${ky * KW + kx}_${i / S}, ${i % S}u);
#for j in 0..NX
          acc${i}_${j}_${r - ky} += ((b${ky}_${kx}_${i} << 16u) >> 16u) * (f${j}_${kx} & 0xffff) + (b${ky}_${kx}_${i} >> 16u) * (f${j}_${kx} >> 16u);
#end j
#end kx, i
#end
#end ky
        }
#end r
      }
    }
#else
#if PARTS < 4
      for (var u = 0u; u < ${4 / PARTS}u; u++) {
        let shift = ${32 - BITS}u - (k + u) * ${BITS}u;
#else
      {
        let shift = ${32 - BITS}u - k * ${BITS}u;
#end
#for t in 0..KH * KW, h in 0..(8 + S - 1) / S
#if BITS == 2
        let w${t}_${h} = f32(2 * (i32(q${t}_${h} << shift) >> 30u) + 1);
#else
        let w${t}_${h} = f32(i32(q${t}_${h} << shift) >> ${32 - BITS}u);
#end
#end t, h
#for r in 0..RY + KH - 1
        {
#for t in 0..KW, g in 0..NX
#if PARTS == 1
          let f${g}_${t} = f32((v${r}_${g}_${t} >> (8u * u)) & 255u);
#end
#if PARTS == 2
          let f${g}_${t} = unpack2x16float(v${r}_${g}_${t} >> (16u * u)).x;
#end
#if PARTS == 4
          let f${g}_${t} = bitcast<f32>(v${r}_${g}_${t});
#end
#end t, g
#for ky in 0..KH
#if r >= ky && r - ky < RY
#for kx in 0..KW, i in 0..8
          let b${ky}_${kx}_${i} = subgroupBroadcast(w${ky * KW + kx}_${i / S}, ${i % S}u);
#for j in 0..NX
          acc${i}_${j}_${r - ky} += b${ky}_${kx}_${i} * f${j}_${kx};
#end j
#end kx, i
#end
#end ky
        }
#end r
      }
    }
#end
#if GROUPS > 1
    if ((c + 1u) % params.groupWords == 0u) {
      let part = c / params.groupWords;
#for i in 0..8
      let entry${i} = table[min(m + ${i}u, params.outChannels - 1u) * ${GROUPS}u + part];
#for j in 0..NX, r in 0..RY
      total${i}_${j}_${r} += scaled(acc${i}_${j}_${r}, entry${i});
      acc${i}_${j}_${r} = ${SUM}();
#end j, r
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
#for r in 0..RY, j in 0..NX
#if GROUPS == 1
  let total${i}_${j}_${r} = scaled(acc${i}_${j}_${r}, entry${i});
#end
  let y${i}_${j}_${r} = rectified(total${i}_${j}_${r} + shift${i});
#end r, j
#if POOL
#for r in 0..RY / 2, j in 0..NX
  let pair${i}_${j}_${r} = y${i}_${j}_${2 * r} + y${i}_${j}_${2 * r + 1};
  let o${i}_${j}_${r} = 0.25 * (pair${i}_${j}_${r} + subgroupShuffle(pair${i}_${j}_${r}, lane ^ 1u));
#end r, j
#else
#for r in 0..RY, j in 0..NX
  let o${i}_${j}_${r} = y${i}_${j}_${r};
#end r, j
#end
#end i
#for r in 0..RY / (1 + POOL), j in 0..NX
  {
    let row = oy / ${1 + POOL}u + ${r}u;
    let column = (ox + ${j * S}u) / ${1 + POOL}u;
    if (row < params.outHeight && column < params.outWidth && ox % ${1 + POOL}u == 0u) {
      let place = row * params.outWidth + column;
      storeEight(group.z, m, place, vec4f(o0_${j}_${r}, o1_${j}_${r}, o2_${j}_${r}, o3_${j}_${r}), vec4f(o4_${j}_${r}, o5_${j}_${r}, o6_${j}_${r}, o7_${j}_${r}));
    }
  }
#end r, j
}

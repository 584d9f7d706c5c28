// Quantized conv2d of any kernel size, stride and padding over u8 activations, by products of small integer matrices that a
// subgroup computes together: an implicit matrix product.
//
// A workgroup is four subgroups of S lanes, two by two over a block of BM channels x BN pixels. A subgroup holds TM x TN sums
// of M channels x N pixels. A step is 32 input channels at one tap. Its codes lie in workgroup memory as [pixel][8 words] and
// [channel][8 words], rows 12 words apart, so that eight of them start in different banks. There are two such buffers: while
// one is multiplied, the other one is filled, and one barrier a step is enough. Codes are loaded into registers AHEAD steps before
// they are multiplied, an even number, so that few workgroups do not wait for memory at every step. Without STAGED the weights go
// from storage straight into matrices, a step ahead.
//
// Unsigned codes become signed ones by turning their highest bit. Sums leave through workgroup memory, a row of matrices at a
// time. With POOL the four pixels of a pooling window are BN / 4 apart in the block.
//
// w      signed bytes [ceil(CO / BM)][ceil(CI / 32)][KH * KW][BM][8 words] (qconv2d_matrix_weights.wgsl)
// the others: qconv2d
// grid   x: ceil(pixels / BN), y: ceil(CO / BM)
// reference: qconv2dReference in src/kernels/qconv2dReference.ts
enable chromium_experimental_subgroup_matrix;
// Offsets follow from the place in the workgroup, which is one for a whole subgroup: workgroups have one dimension.
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Weights = subgroup_matrix_left<i8, ${K}, ${M}>;
alias Pixels = subgroup_matrix_right<i8, ${N}, ${K}>;
alias Sums = subgroup_matrix_result<i32, ${N}, ${M}>;

#include qconv2d

// Two buffers of [pixel][12 words] and, where STAGED, [channel][12 words].
var<workgroup> tile: array<vec${VEC}u, ${2 * BUFFER}>;
// [channel][pixel]: M channels of the upper subgroups, then M of the lower ones.
var<workgroup> sums: array<i32, ${2 * M * PITCH}>;

@compute @workgroup_size(${4 * S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let places = params.batch * outPlane;
  let plane = params.height * params.width;
  let steps = (params.inWords + 7u) / 8u * params.kernelHeight * params.kernelWidth;
  let down = index / ${2 * S}u;
  let across = index / ${S}u % 2u;
  // An invocation always loads the same pixels.
#for r in 0..XR
  let slot${r} = (index + ${4 * S * r}u) % ${BN}u;
#if POOL
  let place${r} = min(group.x * ${BN / 4}u + slot${r} % ${BN / 4}u, places - 1u);
  let q${r} = place${r} % outPlane;
  let top${r} = i32(2u * (q${r} / params.outWidth) + slot${r} / ${BN / 2}u) - i32(params.padding);
  let left${r} = i32(2u * (q${r} % params.outWidth) + slot${r} / ${BN / 4}u % 2u) - i32(params.padding);
#else
  let place${r} = min(group.x * ${BN}u + slot${r}, places - 1u);
  let q${r} = place${r} % outPlane;
  let top${r} = i32(q${r} / params.outWidth * params.stride) - i32(params.padding);
  let left${r} = i32(q${r} % params.outWidth * params.stride) - i32(params.padding);
#end
  let origin${r} = i32(place${r} / outPlane * params.xWords * plane) + top${r} * i32(params.width) + left${r};
#end r
#if PADDED
  let empty = u32(inRange.y) * 0x01010101u;
#end
#for i in 0..TM, j in 0..TN
  var acc${i}_${j}: Sums;
#end i, j
#if STAGED == 0
#for i in 0..TM, k in 0..32 / K
  var a${i}_${k}: Weights;
#end i, k
#end
#for d in 0..AHEAD
#for n in 0..XU
  var v${d}_${n}: vec4u;
#end n
#if STAGED
#for n in 0..WU
  var u${d}_${n}: vec4u;
#end n
#end
#end d
  var c = 0u;
  var ky = 0u;
  var kx = 0u;
  // Turn t loads step t into registers, multiplies step t - AHEAD, and puts the step after that one into workgroup memory.
  for (var turn = 0u; turn < steps + ${AHEAD}u; turn += ${AHEAD}u) {
#for p in 0..AHEAD
    {
      let step = turn + ${p}u;
      if (step < steps) {
        let tap = i32(ky * params.width + kx);
#for n in 0..XU
        {
#if PADDED
          let inside = u32(top${n % XR} + i32(ky)) < params.height && u32(left${n % XR} + i32(kx)) < params.width;
          let at = u32(select(0, origin${n % XR} + tap, inside));
#else
          let at = u32(origin${n % XR} + tap);
#end
          let word = 8u * c + 4u * (index / ${BN}u + ${n * 4 * S / BN}u);
#for e in 0..4
#if RAGGED
          let x${e} = x[at + min(word + ${e}u, params.xWords - 1u) * plane];
#else
          let x${e} = x[at + (word + ${e}u) * plane];
#end
#end e
#if PADDED
          v${p}_${n} = select(vec4u(empty), vec4u(x0, x1, x2, x3), inside);
#else
          v${p}_${n} = vec4u(x0, x1, x2, x3);
#end
        }
#end n
#if STAGED
        let row = (group.y * steps + step) * ${BM * 8 / VEC}u;
#for n in 0..WU
#if VEC == 4
        u${p}_${n} = w[row + index + ${4 * S * n}u];
#else
        u${p}_${n} = vec4u(w[row + 2u * index + ${8 * S * n}u], w[row + 2u * index + ${8 * S * n + 1}u]);
#end
#end n
#end
        kx++;
        if (kx == params.kernelWidth) {
          kx = 0u;
          ky++;
        }
        if (ky == params.kernelHeight) {
          ky = 0u;
          c++;
        }
      }
      if (step >= ${AHEAD}u && step < steps + ${AHEAD}u) {
        // WebGPU checks every access of workgroup memory. These bounds are never reached; a driver that sees them can drop the checks.
#for k in 0..32 / K
        {
#if STAGED
#for i in 0..TM
          let a${i}_${k} = subgroupMatrixLoad<Weights, row_major>(&tile, min(${p % 2 * BUFFER}u + (down * ${TM * M}u + ${BN + i * M}u) * ${12 / VEC}u + ${k * K / 4 / VEC}u, ${2 * BUFFER - M * 12 / VEC + k * K / 4 / VEC}u), ${12 / VEC}u);
#end i
#end
#for j in 0..TN
          let b${j} = subgroupMatrixLoad<Pixels, col_major>(&tile, min(${p % 2 * BUFFER}u + (across * ${TN * N}u + ${j * N}u) * ${12 / VEC}u + ${k * K / 4 / VEC}u, ${2 * BUFFER - N * 12 / VEC + k * K / 4 / VEC}u), ${12 / VEC}u);
#for i in 0..TM
          acc${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}_${k}, b${j}, acc${i}_${j});
#end i
#end j
        }
#end k
      }
      if (step + 1u >= ${AHEAD}u && step + 1u < steps + ${AHEAD}u) {
#for n in 0..XU
        {
          let at = ${(p + 1) % 2 * BUFFER}u + slot${n % XR} * ${12 / VEC}u + (index / ${BN}u + ${n * 4 * S / BN}u) * ${4 / VEC}u;
          let codes = v${(p + 1) % AHEAD}_${n} ^ vec4u(0x80808080u);
#if VEC == 4
          tile[at] = codes;
#else
          tile[at] = codes.xy;
          tile[at + 1u] = codes.zw;
#end
        }
#end n
#if STAGED
#for n in 0..WU
        {
          let at = ${(p + 1) % 2 * BUFFER}u + (${BN}u + index / 2u + ${2 * S * n}u) * ${12 / VEC}u + index % 2u * ${4 / VEC}u;
#if VEC == 4
          tile[at] = u${(p + 1) % AHEAD}_${n};
#else
          tile[at] = u${(p + 1) % AHEAD}_${n}.xy;
          tile[at + 1u] = u${(p + 1) % AHEAD}_${n}.zw;
#end
        }
#end n
#else
        let row = (group.y * steps + step + 1u - ${AHEAD}u) * ${BM * 8 / VEC}u;
#for i in 0..TM, k in 0..32 / K
        a${i}_${k} = subgroupMatrixLoad<Weights, row_major>(&w, row + (down * ${TM}u + ${i}u) * ${M * 8 / VEC}u + ${k * K / 4 / VEC}u, ${8 / VEC}u);
#end i, k
#end
      }
      workgroupBarrier();
    }
#end p
  }
  // The places of the results that an invocation stores: PX of them in a block.
#for r in 0..PR
  let column${r} = (index + ${4 * S * r}u) % ${PX}u;
  let result${r} = group.x * ${PX}u + column${r};
  let image${r} = result${r} / outPlane;
  let at${r} = result${r} % outPlane;
#end r
#for i in 0..TM
#if i > 0
  workgroupBarrier();
#end
#for j in 0..TN
  subgroupMatrixStore<row_major>(&sums, down * ${M * PITCH}u + across * ${TN * N}u + ${j * N}u, acc${i}_${j}, ${PITCH}u);
#end j
  workgroupBarrier();
#for r in 0..PR
  for (var row = 4u * (index / ${PX}u); row < ${2 * M}u; row += ${4 * QS}u) {
    let m = group.y * ${BM}u + (row / ${M}u * ${TM}u + ${i}u) * ${M}u + row % ${M}u;
    if (result${r} < places && m < params.outChannels) {
#for e in 0..4
      let channel${e} = min(m + ${e}u, params.outChannels - 1u);
      let entry${e} = table[channel${e}];
      let shift${e} = bias[channel${e}];
#for j in 0..1 + 3 * POOL
      let y${e}_${j} = rectified(scaled(sums[(row + ${e}u) * ${PITCH}u + column${r} + ${j * PX}u], entry${e}) + shift${e});
#end j
#if POOL
      let o${e} = 0.25 * (y${e}_0 + y${e}_2 + y${e}_1 + y${e}_3);
#else
      let o${e} = y${e}_0;
#end
#end e
      storeChannels(image${r}, m, at${r}, vec4f(o0, o1, o2, o3));
    }
  }
#end r
#end i
}

// Winograd input transform of stored activations: every A x A tile of x, M apart, into A * A points.
//
// A word of four codes, half of one of eight (U4), or of two floats is gathered once for all its channels. With INTEGERS, codes less 128 of channels c and c + 2 are transformed together
// as the number a + 2^16 b modulo 2^32: a linear map treats both alike. With floats a code counts less its zero point.
//
// x        words of activations (qstore)
// inRange  of codes (U8)
// v        INTEGERS: [2 * words, A * A, pitch], 16-bit halves of channels 4 w + u and 4 w + u + 2 in row 2 w + u; else f32
//          [CI, A * A, pitch]; T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through the batch
// grid     x: ceil(T / WORKGROUP), y: ceil(words / WORDS); one invocation per tile and WORDS words
// reference: qconv2dReference in src/kernels/qconv2dReference.ts, through qconv2d
@group(0) @binding(0) var<storage, read> x: array<u32>;
#if U8
@group(0) @binding(1) var<storage, read> inRange: vec4f;
#end
#if INTEGERS
@group(0) @binding(2) var<storage, read_write> v: array<i32>;
#else
@group(0) @binding(${1 + U8}) var<storage, read_write> v: array<f32>;
#end
#params
#if INTEGERS
#include winogradIntegers
#else
#include winograd
#end

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
#include winogradTile
#if PADDED
#if U8
  let empty = u32(inRange.y) * 0x01010101u;
#else
  let empty = 0u;
#end
#end
  let last = min((group.y + 1u) * ${WORDS}u, params.words);
  for (var word = group.y * ${WORDS}u; word < last; word++) {
#if U4
    let base = (image * params.xWords + word / 2u) * plane;
    let half = word % 2u * 4u;
#else
    let base = (image * params.words + word) * plane;
#end
#for i in 0..A, j in 0..A
#if U4
    let w${i}_${j} = (x[base + y${i} + x${j}] >> half) & 0x0f0f0f0fu;
#else
    let w${i}_${j} = x[base + y${i} + x${j}];
#end
#if PADDED
    let d${i}_${j} = select(empty, w${i}_${j}, insideY${i} && insideX${j});
#else
    let d${i}_${j} = w${i}_${j};
#end
#end i, j
#if INTEGERS
    for (var u = 0u; u < 2u; u++) {
      let channel = 2u * word + u;
#else
    for (var u = 0u; u < ${CHANNELS}u && ${CHANNELS}u * word + u < params.channels; u++) {
      let channel = ${CHANNELS}u * word + u;
#end
#for j in 0..A
      let column${j} = inputTransform(Points(
#for i in 0..A
#if INTEGERS
        i32((d${i}_${j} >> (8u * u)) & 0x00ff00ffu) - 0x00800080,
#else
#if U8
        f32((d${i}_${j} >> (8u * u)) & 255u) - inRange.y,
#else
        unpack2x16float(d${i}_${j} >> (16u * u)).x,
#end
#end
#end i
      ));
#end j
      let at = channel * ${A * A}u * params.pitch + t;
#for i in 0..A
      let row${i} = inputTransform(Points(
#for j in 0..A
        column${j}.s${i},
#end j
      ));
#for j in 0..A
#if INTEGERS
      v[at + ${i * A + j}u * params.pitch] = halvesOf(row${i}.s${j});
#else
      v[at + ${i * A + j}u * params.pitch] = row${i}.s${j};
#end
#end j
#end i
    }
  }
}

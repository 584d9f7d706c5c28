// Winograd output transform of a quantized convolution: A * A points into M x M sums of products, scaled, with bias and rectifier,
// (POOL) the 2x2 mean, stored as OUT says.
//
// An invocation takes Q x Q tiles, so that no pooling window is cut: Q = 2 for an odd M, else 1.
//
// m         [CO, A * A, pitch], T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through the
//           batch. INTEGERS: sums modulo 2^32 of codes less 128; else of floats
// table     [CO] of (scale, sum of the weights' codes)
// inRange   of codes (U8)
// outRange  of codes as a result
// y         as OUT says; with POOL the pooled size
// grid      x: ceil(T / (Q * Q * WORKGROUP)), y: ceil(words of CO / WORDS)
// reference: qconv2dReference in src/kernels/qconv2dReference.ts, through qconv2d
@group(0) @binding(0) var<storage, read> m: array<${SUM}>;
#include qbindings
#if INTEGERS
#include winogradIntegers
#else
#include winograd
#end
#include qresult

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let tiles = params.rows * params.tilesX;
  let quad = group.x * ${WORKGROUP}u + local;
  if (quad * ${Q * Q}u >= tiles) {
    return;
  }
  let across = params.tilesX / ${Q}u;
  let tileX = quad % across * ${Q}u;
  let tileRow = quad / across * ${Q}u;
  let image = (params.firstRow + tileRow) / params.tilesY;
  let oy = (params.firstRow + tileRow) % params.tilesY * ${M}u / ${1 + POOL}u;
  let ox = tileX * ${M}u / ${1 + POOL}u;
  let t = tileRow * params.tilesX + tileX;
  let plane = params.outHeight * params.outWidth;
  let words = (params.outChannels + ${CHANNELS - 1}u) / ${CHANNELS}u;
  let last = min((group.y + 1u) * ${WORDS}u, words);
  for (var word = group.y * ${WORDS}u; word < last; word++) {
#if OUT < 32
#for i in 0..Q * M / (1 + POOL), j in 0..Q * M / (1 + POOL)
    var y${i}_${j} = 0u;
#end i, j
    for (var c = 0u; c < ${CHANNELS}u; c++) {
      let real = word * ${CHANNELS}u + c < params.outChannels;
      let channel = min(word * ${CHANNELS}u + c, params.outChannels - 1u);
#else
    {
      let channel = word;
#end
      let entry = table[channel];
      let shift = bias[channel];
#for a in 0..Q, b in 0..Q
      let at${a}_${b} = channel * ${A * A}u * params.pitch + t + ${a}u * params.tilesX + ${b}u;
#for j in 0..A
      let column${a}_${b}_${j} = outputTransform(Points(
#for i in 0..A
        m[at${a}_${b} + ${i * A + j}u * params.pitch],
#end i
      ));
#end j
#for i in 0..M
      let row${a}_${b}_${i} = outputTransform(Points(
#for j in 0..A
        column${a}_${b}_${j}.s${i},
#end j
      ));
#for j in 0..M
#if INTEGERS
      let sum${a * M + i}_${b * M + j} = unscaled(row${a}_${b}_${i}.s${j});
#else
      let sum${a * M + i}_${b * M + j} = row${a}_${b}_${i}.s${j};
#end
      let value${a * M + i}_${b * M + j} = rectified(scaled(sum${a * M + i}_${b * M + j}, entry) + shift);
#end j
#end i
#end a, b
#for i in 0..Q * M / (1 + POOL), j in 0..Q * M / (1 + POOL)
#if POOL
      let o${i}_${j} = 0.25 * ((value${2 * i}_${2 * j} + value${2 * i + 1}_${2 * j}) + (value${2 * i}_${2 * j + 1} + value${2 * i + 1}_${2 * j + 1}));
#else
      let o${i}_${j} = value${i}_${j};
#end
#if OUT == 4
      y${i}_${j} |= codeOf(select(0.0, o${i}_${j}, real), outRange) << (c % 4u * 8u + c / 4u * 4u);
#end
#if OUT == 8
      y${i}_${j} |= codeOf(select(0.0, o${i}_${j}, real), outRange) << (8u * c);
#end
#if OUT == 16
      y${i}_${j} |= pack2x16float(vec2f(select(0.0, o${i}_${j}, real), 0.0)) << (16u * c);
#end
#end i, j
#if OUT < 32
    }
#end
    let base = (image * words + word) * plane + oy * params.outWidth + ox;
#for i in 0..Q * M / (1 + POOL), j in 0..Q * M / (1 + POOL)
    if (oy + ${i}u < params.outHeight && ox + ${j}u < params.outWidth) {
#if OUT == 32
      y[base + ${i}u * params.outWidth + ${j}u] = o${i}_${j};
#else
      y[base + ${i}u * params.outWidth + ${j}u] = y${i}_${j};
#end
    }
#end i, j
#if OUT == 32
    }
#end
  }
}

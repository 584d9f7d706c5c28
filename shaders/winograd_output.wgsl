// Winograd output transform with bias and rectifier, and (POOL) the 2x2 mean: A * A points into M x M outputs.
//
// An invocation takes Q x Q tiles, so that no pooling window is cut: Q = 2 for an odd M, else 1.
//
// m     [CO, A * A, pitch] or, with HALVES, [ceil(CO / 2), A * A, pitch] words of two channels, T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through the batch
// y     [N, CO, OH, OW]; with POOL the pooled size
// grid  x: ceil(T / (Q * Q * WORKGROUP)), y: ceil(CO / CHANNELS)
// reference: src/kernels/winogradReferences.ts
#if HALVES
@group(0) @binding(0) var<storage, read> m: array<u32>;
#else
@group(0) @binding(0) var<storage, read> m: array<f32>;
#end
#if BIAS
@group(0) @binding(1) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(${1 + BIAS}) var<storage, read_write> y: array<f32>;
#params
#if HALVES
#include winogradPairs
#else
#include winograd
#end

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
#if POOL
  let oy = (params.firstRow + tileRow) % params.tilesY * ${M}u / 2u;
  let ox = tileX * ${M}u / 2u;
#else
  let oy = (params.firstRow + tileRow) % params.tilesY * ${M}u;
  let ox = tileX * ${M}u;
#end
  let t = tileRow * params.tilesX + tileX;
  let last = min((group.y + 1u) * ${CHANNELS}u, params.channels);
  for (var channel = group.y * ${CHANNELS}u; channel < last; channel += ${1 + HALVES}u) {
#if BIAS
#if HALVES
    let shift = vec2f(bias[channel], bias[min(channel + 1u, params.channels - 1u)]);
#else
    let shift = bias[channel];
#end
#else
    let shift = Value(0.0);
#end
#for a in 0..Q, b in 0..Q
    let at${a}_${b} = channel / ${1 + HALVES}u * ${A * A}u * params.pitch + t + ${a}u * params.tilesX + ${b}u;
#for j in 0..A
    let column${a}_${b}_${j} = outputTransform(Points(
#for i in 0..A
#if HALVES
      unpack2x16float(m[at${a}_${b} + ${i * A + j}u * params.pitch]),
#else
      m[at${a}_${b} + ${i * A + j}u * params.pitch],
#end
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
#if RELU
    let o${a * M + i}_${b * M + j} = max(row${a}_${b}_${i}.s${j} + shift, Value(0.0));
#else
    let o${a * M + i}_${b * M + j} = row${a}_${b}_${i}.s${j} + shift;
#end
#end j
#end i
#end a, b
    let base = image * params.imageStride + channel * params.channelStride + oy * params.width + ox;
#if POOL
#for i in 0..Q * M / 2, j in 0..Q * M / 2
    if (oy + ${i}u < params.height && ox + ${j}u < params.width) {
      let mean = 0.25 * (o${2 * i}_${2 * j} + o${2 * i}_${2 * j + 1} + o${2 * i + 1}_${2 * j} + o${2 * i + 1}_${2 * j + 1});
#if HALVES
      y[base + ${i}u * params.width + ${j}u] = mean.x;
      if (channel + 1u < params.channels) {
        y[base + params.channelStride + ${i}u * params.width + ${j}u] = mean.y;
      }
#else
      y[base + ${i}u * params.width + ${j}u] = mean;
#end
    }
#end i, j
#else
#for i in 0..M, j in 0..M
    if (oy + ${i}u < params.height && ox + ${j}u < params.width) {
#if HALVES
      y[base + ${i}u * params.width + ${j}u] = o${i}_${j}.x;
      if (channel + 1u < params.channels) {
        y[base + params.channelStride + ${i}u * params.width + ${j}u] = o${i}_${j}.y;
      }
#else
      y[base + ${i}u * params.width + ${j}u] = o${i}_${j};
#end
    }
#end i, j
#end
  }
}

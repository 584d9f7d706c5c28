// Winograd output transform with bias and rectifier, and (POOL) the 2x2 mean: A * A points into M x M outputs.
//
// An invocation takes Q x Q tiles, so that no pooling window is cut: Q = 2 for an odd M, else 1.
//
// m     [CO, A * A, pitch], T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through the batch
// y     [N, CO, OH, OW]; with POOL the pooled size
// grid  x: ceil(T / (Q * Q * WORKGROUP)), y: ceil(CO / CHANNELS)
// reference: winogradOutputOp in src/kernels/winograd.ts
@group(0) @binding(0) var<storage, read> m: array<f32>;
#if BIAS
@group(0) @binding(1) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(${1 + BIAS}) var<storage, read_write> y: array<f32>;
#params
#include winograd

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
  for (var channel = group.y * ${CHANNELS}u; channel < last; channel++) {
#if BIAS
    let shift = bias[channel];
#else
    let shift = 0.0;
#end
#for a in 0..Q
#for b in 0..Q
    let at${a}_${b} = channel * ${A * A}u * params.pitch + t + ${a}u * params.tilesX + ${b}u;
#for j in 0..A
    let column${a}_${b}_${j} = outputTransform(Points(
#for i in 0..A
      m[at${a}_${b} + ${i * A + j}u * params.pitch],
#end
    ));
#end
#for i in 0..M
    let row${a}_${b}_${i} = outputTransform(Points(
#for j in 0..A
      column${a}_${b}_${j}.s${i},
#end
    ));
#for j in 0..M
#if RELU
    let o${a * M + i}_${b * M + j} = max(row${a}_${b}_${i}.s${j} + shift, 0.0);
#else
    let o${a * M + i}_${b * M + j} = row${a}_${b}_${i}.s${j} + shift;
#end
#end
#end
#end
#end
    let base = image * params.imageStride + channel * params.channelStride + oy * params.width + ox;
#if POOL
#for i in 0..Q * M / 2
#for j in 0..Q * M / 2
    if (oy + ${i}u < params.height && ox + ${j}u < params.width) {
      y[base + ${i}u * params.width + ${j}u] = 0.25 * (o${2 * i}_${2 * j} + o${2 * i}_${2 * j + 1} + o${2 * i + 1}_${2 * j} + o${2 * i + 1}_${2 * j + 1});
    }
#end
#end
#else
#for i in 0..M
#for j in 0..M
    if (oy + ${i}u < params.height && ox + ${j}u < params.width) {
      y[base + ${i}u * params.width + ${j}u] = o${i}_${j};
    }
#end
#end
#end
  }
}

// Winograd output transform that ends in an anomaly map: (conv + bias - target)^2, summed over the channels of one split.
//
// m        [CO, A * A, pitch] or, with HALVES, [ceil(CO / 2), A * A, pitch] words of two channels, T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through the batch
// target   [N, CO, OH, OW] (TARGET)
// y        [SPLITS, N, 1, OH, OW]
// grid     x: ceil(T / WORKGROUP), y: SPLITS
// reference: winogradMapOp in src/kernels/winogradMap.ts
#if HALVES
@group(0) @binding(0) var<storage, read> m: array<u32>;
#else
@group(0) @binding(0) var<storage, read> m: array<f32>;
#end
@group(0) @binding(1) var<storage, read> bias: array<f32>;
#if TARGET
@group(0) @binding(2) var<storage, read> target_: array<f32>;
#end
@group(0) @binding(${2 + TARGET}) var<storage, read_write> y: array<f32>;
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
  let t = group.x * ${WORKGROUP}u + local;
  if (t >= tiles) {
    return;
  }
  let row = params.firstRow + t / params.tilesX;
  let image = row / params.tilesY;
  let oy = row % params.tilesY * ${M}u;
  let ox = t % params.tilesX * ${M}u;
  let plane = params.height * params.width;
#if TARGET
#for i in 0..M
  let y${i} = min(oy + ${i}u, params.height - 1u) * params.width;
  let x${i} = min(ox + ${i}u, params.width - 1u);
#end i
#end
#for i in 0..M, j in 0..M
  var sum${i}_${j} = 0.0;
#end i, j
  let last = min((group.y + 1u) * params.channelsPerSplit, params.channels);
  for (var channel = group.y * params.channelsPerSplit; channel < last; channel += ${1 + HALVES}u) {
    let at = channel / ${1 + HALVES}u * ${A * A}u * params.pitch + t;
#if HALVES
    // Behind an odd number of channels is one of zeros.
    let isPair = channel + 1u < params.channels;
    let shift = vec2f(bias[channel], select(0.0, bias[min(channel + 1u, params.channels - 1u)], isPair));
#else
    let shift = bias[channel];
#end
#for j in 0..A
    let column${j} = outputTransform(Points(
#for i in 0..A
#if HALVES
      unpack2x16float(m[at + ${i * A + j}u * params.pitch]),
#else
      m[at + ${i * A + j}u * params.pitch],
#end
#end i
    ));
#end j
#if TARGET
    let base = (image * params.channels + channel) * plane;
#if HALVES
    let next = base + select(0u, plane, isPair);
#end
#end
#for i in 0..M
    let row${i} = outputTransform(Points(
#for j in 0..A
      column${j}.s${i},
#end j
    ));
#for j in 0..M
    {
#if TARGET
#if HALVES
      let second = select(0.0, target_[next + y${i} + x${j}], isPair);
      let difference = row${i}.s${j} + shift - vec2f(target_[base + y${i} + x${j}], second);
#else
      let difference = row${i}.s${j} + shift - target_[base + y${i} + x${j}];
#end
#else
      let difference = row${i}.s${j} + shift;
#end
#if HALVES
      sum${i}_${j} += dot(difference, difference);
#else
      sum${i}_${j} += difference * difference;
#end
    }
#end j
#end i
  }
  let out = (group.y * params.images + image) * plane;
#for i in 0..M, j in 0..M
  if (oy + ${i}u < params.height && ox + ${j}u < params.width) {
    y[out + (oy + ${i}u) * params.width + ox + ${j}u] = sum${i}_${j};
  }
#end i, j
}

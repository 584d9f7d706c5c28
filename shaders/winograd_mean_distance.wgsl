// Winograd output transform that ends in an anomaly map, for GPUs: the mean over all channels of (conv + bias - target)^2.
//
// A workgroup takes WORKGROUP / SLOTS tiles. SLOTS invocations share the channels of a tile; their sums meet in workgroup memory
// and are added in a fixed order, by one invocation for each of the tile's M x M values.
//
// With STACKED the result is another map, this one and their mean, each normalized by its quantiles on normal images. The other
// one is there already, or with a second set of products it is computed here, too.
//
// m        [CO, A * A, pitch] or, with HALVES, [ceil(CO / 2), A * A, pitch] words of two channels, T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through the batch
// target   [N, CO, OH, OW] (TARGET)
// other    [N, 1, OH, OW] (STACKED, one set)
// m1       like m, of the other map (two sets)
// quantiles [4] q_a and q_b of the other map, then those of this one (STACKED)
// y        [N, 1, OH, OW]; with STACKED [3, N, 1, OH, OW]: the other one, this one, the mean
// grid     x: ceil(T / (WORKGROUP / SLOTS))
// reference: winogradMapOp in src/kernels/winogradMap.ts, mapCombineOp in src/detectorOps/maps.ts
#if HALVES
@group(0) @binding(0) var<storage, read> m0: array<u32>;
#else
@group(0) @binding(0) var<storage, read> m0: array<f32>;
#end
@group(0) @binding(1) var<storage, read> bias0: array<f32>;
#if TARGET
@group(0) @binding(2) var<storage, read> target_: array<f32>;
#end
#if SETS == 2
#if HALVES
@group(0) @binding(${2 + TARGET}) var<storage, read> m1: array<u32>;
#else
@group(0) @binding(${2 + TARGET}) var<storage, read> m1: array<f32>;
#end
@group(0) @binding(${3 + TARGET}) var<storage, read> bias1: array<f32>;
#end
#if STACKED
#if SETS == 1
@group(0) @binding(${2 + TARGET}) var<storage, read> other: array<f32>;
#end
@group(0) @binding(${2 + TARGET + SETS}) var<storage, read> quantiles: array<f32>;
#end
@group(0) @binding(${2 + TARGET + STACKED * (SETS + 1)}) var<storage, read_write> y: array<f32>;
#params
#if HALVES
#include winogradPairs
#else
#include winograd
#end

var<workgroup> sums: array<f32, ${M * M * WORKGROUP}>;  // [value M * M][slot][tile]

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let tiles = params.rows * params.tilesX;
  let slot = local / ${WORKGROUP / SLOTS}u;
  let place = group.x * ${WORKGROUP / SLOTS}u + local % ${WORKGROUP / SLOTS}u;
  // Behind the last tile it is computed again, and not written.
  let t = min(place, tiles - 1u);
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
#for s in 0..SETS, i in 0..M, j in 0..M
  var sum${s}_${i}_${j} = 0.0;
#end s, i, j
  for (var channel = slot * ${1 + HALVES}u; channel < params.channels; channel += ${SLOTS * (1 + HALVES)}u) {
    let at = channel / ${1 + HALVES}u * ${A * A}u * params.pitch + t;
#if HALVES
    // Behind an odd number of channels is one of zeros.
    let isPair = channel + 1u < params.channels;
    let nextChannel = min(channel + 1u, params.channels - 1u);
#end
#if TARGET
    let base = (image * params.channels + channel) * plane;
#if HALVES
    let next = base + select(0u, plane, isPair);
#end
#end
#for s in 0..SETS
    {
#if HALVES
      let shift = vec2f(bias${s}[channel], select(0.0, bias${s}[nextChannel], isPair));
#else
      let shift = bias${s}[channel];
#end
#for j in 0..A
      let column${j} = outputTransform(Points(
#for i in 0..A
#if HALVES
        unpack2x16float(m${s}[at + ${i * A + j}u * params.pitch]),
#else
        m${s}[at + ${i * A + j}u * params.pitch],
#end
#end i
      ));
#end j
#for i in 0..M
      let row${i} = outputTransform(Points(
#for j in 0..A
        column${j}.s${i},
#end j
      ));
#for j in 0..M
#if TARGET && s == 0
#if HALVES
      let second${i}_${j} = select(0.0, target_[next + y${i} + x${j}], isPair);
      let difference${i}_${j} = row${i}.s${j} + shift - vec2f(target_[base + y${i} + x${j}], second${i}_${j});
#else
      let difference${i}_${j} = row${i}.s${j} + shift - target_[base + y${i} + x${j}];
#end
#else
      let difference${i}_${j} = row${i}.s${j} + shift;
#end
#if HALVES
      sum${s}_${i}_${j} += dot(difference${i}_${j}, difference${i}_${j});
#else
      sum${s}_${i}_${j} += difference${i}_${j} * difference${i}_${j};
#end
#end j
#end i
    }
#end s
  }
  let value = slot;
  let down = oy + value / ${M}u;
  let across = ox + value % ${M}u;
  let written = value < ${M * M}u && place < tiles && down < params.height && across < params.width;
#for s in 0..SETS
#if s > 0
  workgroupBarrier();
#end
#for i in 0..M, j in 0..M
  sums[${(i * M + j) * WORKGROUP}u + local] = sum${s}_${i}_${j};
#end i, j
  workgroupBarrier();
  var total${s} = 0.0;
  if (written) {
    for (var i = 0u; i < ${SLOTS}u; i++) {
      // Values begin with different slots, so that a subgroup reads different banks.
      total${s} += sums[value * ${WORKGROUP}u + (i + value) % ${SLOTS}u * ${WORKGROUP / SLOTS}u + local % ${WORKGROUP / SLOTS}u];
    }
  }
#end s
  if (written) {
    let pixel = image * plane + down * params.width + across;
    let own = params.factor * total0;
#if STACKED
#if SETS == 2
    let before = params.factor * total1;
#else
    let before = other[pixel];
#end
    y[pixel] = before;
    y[params.mapSize + pixel] = own;
    y[2u * params.mapSize + pixel] = params.weight * ((before - quantiles[0]) / (quantiles[1] - quantiles[0]) + (own - quantiles[2]) / (quantiles[3] - quantiles[2]));
#else
    y[pixel] = own;
#end
  }
}

// The batched matrix products of Winograd convolution, for CPU adapters: m[p] = u[p] v[p] for every point p.
//
// One subgroup computes MT rows of NT * S columns in named registers. Values of v are gathered once per step, those of u S
// at a time and broadcast. No barrier, no workgroup memory.
//
// With PAIRS values are words of two signed 16-bit numbers, steps count words, and sums wrap modulo 2^32. Compilers make one
// multiply-add of pairs of the two products.
//
// u     [POINTS, ceil(ROWS / MT), DEPTH, MT]
// v     [channels, POINTS, vPitch]: steps are channels and columns tiles, or the reverse, as their strides say
// m     [ROWS, POINTS, mPitch]
// grid  x: ceil(COLUMNS / (NT * S)), y: ceil(ROWS / MT), z: POINTS;  workgroup: one subgroup of S lanes
// reference: winogradProductOp in src/kernels/winograd.ts
enable subgroups;

@group(0) @binding(0) var<storage, read> u: array<${VALUE}>;
@group(0) @binding(1) var<storage, read> v: array<${VALUE}>;
@group(0) @binding(2) var<storage, read_write> m: array<${VALUE}>;
#params

@compute @workgroup_size(${S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
#include workgroup
  let column = group.x * ${S * NT}u + lane;
  let vBase = group.z * params.vPitch + params.firstOffset + group.y / params.tilesPerGroup * params.depth * params.stepStride;
#for j in 0..NT
  var at${j} = vBase + min(column + ${j * S}u, params.columns - 1u) * params.columnStride;
#end j
#for i in 0..MT, j in 0..NT
  var acc${i}_${j} = ${VALUE}(0);
#end i, j
  var uAt = (group.z * params.rowTiles + group.y) * params.depth * ${MT}u + lane;
#include winogradSums
  let step = params.points * params.mPitch;
  let base = group.y * ${MT}u * step + group.z * params.mPitch + column;
#for i in 0..MT
  if (group.y * ${MT}u + ${i}u < params.rows) {
#for j in 0..NT
    if (column + ${j * S}u < params.columns) {
      m[base + ${i}u * step + ${j * S}u] = acc${i}_${j};
    }
#end j
  }
#end i
}

// Products and output transform of a quantized Winograd convolution in one, for CPU adapters: what lies between them never
// reaches memory.
//
// One subgroup computes MT channels of NT * S tiles. It takes the points in turn: their products are summed in named registers
// as in winograd_product_lanes.wgsl, then added to the outputs of their row, and rows to the outputs of the tile. With PAIRS
// values are words of two signed 16-bit numbers, and everything wraps modulo 2^32; else floats.
//
// With Q = 2 (pooling, odd M) the four tiles of a lane are neighbors, so that no pooling window is cut.
//
// u         [A * A, ceil(CO / MT), DEPTH, MT]
// v         [DEPTH, A * A, vPitch], T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through
//           the batch
// table     [CO] of (scale, sum of the weights' codes)
// inRange   of codes (U8)
// outRange  of codes as a result
// y         as OUT says; with POOL the pooled size
// grid      x: ceil(CO / MT), y: ceil(T / (NT * S));  workgroup: one subgroup of S lanes
// reference: qconv2dReference in src/kernels/qconv2dReference.ts, through qconv2d
enable subgroups;

@group(0) @binding(0) var<storage, read> u: array<${VALUE}>;
@group(0) @binding(1) var<storage, read> v: array<${VALUE}>;
#include qbindings
#if PAIRS
#include winogradIntegers
#else
#include winograd
#end
#include qresult

// A sum of products of the tile as a result.
fn finished(sum: ${VALUE}, entry: vec2f, shift: f32) -> f32 {
#if PAIRS
  return rectified(scaled(unscaled(sum), entry) + shift);
#else
  return rectified(scaled(sum, entry) + shift);
#end
}

@compute @workgroup_size(${S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
#include workgroup
  let m = group.x * ${MT}u;
#if Q == 2
  let across = params.tilesX / 2u;
  let quad = group.y * ${S}u + lane;
#for j in 0..NT
  let tileX${j} = quad % across * 2u + ${j % 2}u;
  let tileRow${j} = quad / across * 2u + ${j / 2}u;
#end j
#else
#for j in 0..NT
  let tile${j} = group.y * ${NT * S}u + ${j * S}u + lane;
  let tileX${j} = tile${j} % params.tilesX;
  let tileRow${j} = tile${j} / params.tilesX;
#end j
#end
#for j in 0..NT
  let column${j} = min(tileRow${j}, params.rows - 1u) * params.tilesX + tileX${j};
#end j
#for s in 0..M, r in 0..M, i in 0..MT, j in 0..NT
  var out${s}_${r}_${i}_${j} = ${VALUE}(0);
#end s, r, i, j
  for (var a = 0u; a < ${A}u; a++) {
#for r in 0..M, i in 0..MT, j in 0..NT
    var row${r}_${i}_${j} = ${VALUE}(0);
#end r, i, j
    for (var b = 0u; b < ${A}u; b++) {
      let point = a * ${A}u + b;
#for i in 0..MT, j in 0..NT
      var acc${i}_${j} = ${VALUE}(0);
#end i, j
#for j in 0..NT
      var at${j} = point * params.vPitch + column${j};
#end j
      var uAt = (point * params.rowTiles + group.x) * params.depth * ${MT}u + lane;
#include winogradSums
      let share = outputsOf(b);
#for r in 0..M, i in 0..MT, j in 0..NT
      row${r}_${i}_${j} += share[${r}] * acc${i}_${j};
#end r, i, j
    }
    let share = outputsOf(a);
#for s in 0..M, r in 0..M, i in 0..MT, j in 0..NT
    out${s}_${r}_${i}_${j} += share[${s}] * row${r}_${i}_${j};
#end s, r, i, j
  }
#for i in 0..MT
  let entry${i} = table[min(m + ${i}u, params.outChannels - 1u)];
  let shift${i} = bias[min(m + ${i}u, params.outChannels - 1u)];
#end i
#for j in 0..NT / (Q * Q)
  let row${j} = params.firstRow + tileRow${j};
  let oy${j} = row${j} % params.tilesY * ${M}u / ${1 + POOL}u;
  let ox${j} = tileX${j} * ${M}u / ${1 + POOL}u;
#end j
  // A loop at run time: stores that are written out would take the compiler a minute.
  for (var e = 0u; e < ${SIDE * SIDE}u; e++) {
    let s = e / ${SIDE}u;
    let r = e % ${SIDE}u;
#for j in 0..NT / (Q * Q)
#for i in 0..MT
#for dx in 0..1 + POOL, dy in 0..1 + POOL
    var sum${i}_${j}_${dx}_${dy} = out${dy % M}_${dx % M}_${i}_${j + dy / M * 2 + dx / M};
#for c in 1..SIDE * SIDE
    sum${i}_${j}_${dx}_${dy} = select(sum${i}_${j}_${dx}_${dy}, out${((1 + POOL) * (c / SIDE) + dy) % M}_${((1 + POOL) * (c % SIDE) + dx) % M}_${i}_${j + ((1 + POOL) * (c / SIDE) + dy) / M * 2 + ((1 + POOL) * (c % SIDE) + dx) / M}, e == ${c}u);
#end c
    let one${i}_${j}_${dx}_${dy} = finished(sum${i}_${j}_${dx}_${dy}, entry${i}, shift${i});
#end dx, dy
#if POOL
    let value${i}_${j} = 0.25 * ((one${i}_${j}_0_0 + one${i}_${j}_0_1) + (one${i}_${j}_1_0 + one${i}_${j}_1_1));
#else
    let value${i}_${j} = one${i}_${j}_0_0;
#end
#end i
    if (tileRow${j} < params.rows && oy${j} + s < params.outHeight && ox${j} + r < params.outWidth) {
      let place = (oy${j} + s) * params.outWidth + ox${j} + r;
#for q in 0..MT / 8
      storeEight(row${j} / params.tilesY, m + ${8 * q}u, place, vec4f(value${8 * q}_${j}, value${8 * q + 1}_${j}, value${8 * q + 2}_${j}, value${8 * q + 3}_${j}), vec4f(value${8 * q + 4}_${j}, value${8 * q + 5}_${j}, value${8 * q + 6}_${j}, value${8 * q + 7}_${j}));
#end q
    }
#end j
  }
}

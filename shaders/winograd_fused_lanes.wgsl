// Products and output transform of a quantised Winograd convolution in one, for CPU adapters: what lies between them never
// reaches memory.
//
// One subgroup computes MT channels of NT * S tiles. It takes the points in turn: their products are summed in named registers
// as in winograd_product_lanes.wgsl, then added to the outputs of their row, and rows to the outputs of the tile. With PAIRS
// values are words of two signed 16-bit numbers, and everything wraps modulo 2^32; else floats.
//
// With Q = 2 (pooling, odd M) the four tiles of a lane are neighbours, so that no pooling window is cut.
//
// u         [A * A, ceil(CO / MT), DEPTH, MT]
// v         [DEPTH, A * A, vPitch], T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through
//           the batch
// table     [CO] of (scale, sum of the weights' codes)
// inRange   of u8 activations (U8)
// outRange  of a u8 result
// y         as OUT says; with POOL the pooled size
// grid      x: ceil(CO / MT), y: ceil(T / (NT * S));  workgroup: one subgroup of S lanes
// reference: qconv2dReference in src/kernels/qconv2d.ts, through qconv2d
enable subgroups;

@group(0) @binding(0) var<storage, read> u: array<${VALUE}>;
@group(0) @binding(1) var<storage, read> v: array<${VALUE}>;
@group(0) @binding(2) var<storage, read> table: array<vec2f>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#if U8
@group(0) @binding(4) var<storage, read> inRange: vec4f;
#end
#if OUT == 8
@group(0) @binding(${4 + U8}) var<storage, read> outRange: vec4f;
#end
#if OUT == 32
@group(0) @binding(${4 + U8}) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(${4 + U8 + (OUT == 8)}) var<storage, read_write> y: array<u32>;
#end
#params
#if PAIRS
#include winogradIntegers
#else
#include winograd
#end
#include qstore

// A sum of products of the tile, scaled, with bias and rectifier.
fn finished(sum: ${VALUE}, entry: vec2f, shift: f32) -> f32 {
#if PAIRS
  let number = f32(unscaled(sum) - i32(entry.y) * (i32(inRange.y) - 128));
#else
  let number = sum;
#end
#if U8
  let value = number * (entry.x * inRange.x) + shift;
#else
  let value = number * entry.x + shift;
#end
#if RELU
  return max(value, 0.0);
#else
  return value;
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
#end
#else
#for j in 0..NT
  let tile${j} = group.y * ${NT * S}u + ${j * S}u + lane;
  let tileX${j} = tile${j} % params.tilesX;
  let tileRow${j} = tile${j} / params.tilesX;
#end
#end
#for j in 0..NT
  let column${j} = min(tileRow${j}, params.rows - 1u) * params.tilesX + tileX${j};
#end
#for s in 0..M
#for r in 0..M
#for i in 0..MT
#for j in 0..NT
  var out${s}_${r}_${i}_${j} = ${VALUE}(0);
#end
#end
#end
#end
  for (var a = 0u; a < ${A}u; a++) {
#for r in 0..M
#for i in 0..MT
#for j in 0..NT
    var row${r}_${i}_${j} = ${VALUE}(0);
#end
#end
#end
    for (var b = 0u; b < ${A}u; b++) {
      let point = a * ${A}u + b;
#for i in 0..MT
#for j in 0..NT
      var acc${i}_${j} = ${VALUE}(0);
#end
#end
#for j in 0..NT
      var at${j} = point * params.vPitch + column${j};
#end
      var uAt = (point * params.rowTiles + group.x) * params.depth * ${MT}u + lane;
      for (var k = 0u; k < params.depth; k++) {
#for h in 0..(MT + S - 1) / S
        let u${h} = u[uAt + ${h * S}u];
#end
        uAt += ${MT}u;
#for j in 0..NT
        let v${j} = v[at${j}];
        at${j} += params.stepStride;
#end
#for i in 0..MT
        let b${i} = subgroupBroadcast(u${i / S}, ${i % S}u);
#for j in 0..NT
#if PAIRS
        acc${i}_${j} += ((b${i} << 16u) >> 16u) * ((v${j} << 16u) >> 16u) + (b${i} >> 16u) * (v${j} >> 16u);
#else
        acc${i}_${j} += b${i} * v${j};
#end
#end
#end
      }
      let share = outputsOf(b);
#for r in 0..M
#for i in 0..MT
#for j in 0..NT
      row${r}_${i}_${j} += share[${r}] * acc${i}_${j};
#end
#end
#end
    }
    let share = outputsOf(a);
#for s in 0..M
#for r in 0..M
#for i in 0..MT
#for j in 0..NT
    out${s}_${r}_${i}_${j} += share[${s}] * row${r}_${i}_${j};
#end
#end
#end
#end
  }
#for i in 0..MT
  let entry${i} = table[min(m + ${i}u, params.channels - 1u)];
  let shift${i} = bias[min(m + ${i}u, params.channels - 1u)];
#end
  let plane = params.height * params.width;
  let words = (params.channels + ${32 / OUT - 1}u) / ${32 / OUT}u;
#for j in 0..NT / (Q * Q)
  if (tileRow${j} < params.rows) {
    let row = params.firstRow + tileRow${j};
    let oy = row % params.tilesY * ${M}u / ${1 + POOL}u;
    let ox = tileX${j} * ${M}u / ${1 + POOL}u;
    let base = row / params.tilesY * words * plane + oy * params.width + ox;
#for s in 0..Q * M / (1 + POOL)
#for r in 0..Q * M / (1 + POOL)
    if (oy + ${s}u < params.height && ox + ${r}u < params.width) {
      let place = base + ${s}u * params.width + ${r}u;
#for g in 0..MT * OUT / 32
      if (m + ${g * 32 / OUT}u < params.channels) {
#for e in 0..32 / OUT
#if POOL
#if Q == 2
        let upper${e} = finished(out${2 * s % M}_${2 * r % M}_${g * 32 / OUT + e}_${2 * s / M * 2 + 2 * r / M}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e})
          + finished(out${(2 * s + 1) % M}_${2 * r % M}_${g * 32 / OUT + e}_${(2 * s + 1) / M * 2 + 2 * r / M}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e});
        let lower${e} = finished(out${2 * s % M}_${(2 * r + 1) % M}_${g * 32 / OUT + e}_${2 * s / M * 2 + (2 * r + 1) / M}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e})
          + finished(out${(2 * s + 1) % M}_${(2 * r + 1) % M}_${g * 32 / OUT + e}_${(2 * s + 1) / M * 2 + (2 * r + 1) / M}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e});
#else
        let upper${e} = finished(out${2 * s}_${2 * r}_${g * 32 / OUT + e}_${j}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e})
          + finished(out${2 * s + 1}_${2 * r}_${g * 32 / OUT + e}_${j}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e});
        let lower${e} = finished(out${2 * s}_${2 * r + 1}_${g * 32 / OUT + e}_${j}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e})
          + finished(out${2 * s + 1}_${2 * r + 1}_${g * 32 / OUT + e}_${j}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e});
#end
        let value${e} = 0.25 * (upper${e} + lower${e});
#else
        let value${e} = finished(out${s}_${r}_${g * 32 / OUT + e}_${j}, entry${g * 32 / OUT + e}, shift${g * 32 / OUT + e});
#end
#end
        let at = place + (m / ${32 / OUT}u + ${g}u) * plane;
#if OUT == 32
        y[at] = value0;
#end
#if OUT == 16
        y[at] = pack2x16float(vec2f(value0, select(0.0, value1, m + ${2 * g + 1}u < params.channels)));
#end
#if OUT == 8
        let real = vec4u(${4 * g}u, ${4 * g + 1}u, ${4 * g + 2}u, ${4 * g + 3}u) + m < vec4u(params.channels);
        y[at] = codesOf(select(vec4f(), vec4f(value0, value1, value2, value3), real), outRange);
#end
      }
#end
    }
#end
#end
  }
#end
}

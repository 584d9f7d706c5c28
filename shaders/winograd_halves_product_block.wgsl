// The batched matrix products of Winograd convolution over halves, for GPUs: m[p] = u[p] v[p] for every point p.
//
// A workgroup computes a block of MT rows x NT columns, each of its invocations TM x TN sums in named vec4 registers. Words of two
// steps come from memory, floats lie in workgroup memory: two lots of BK steps, of which one is multiplied while the next one is
// loaded into registers. One barrier a lot. Places as in winograd_product_block.wgsl.
//
// u      [POINTS, ceil(ROWS / MT), PAIRS, MT] words of two steps, as vec4
// v      [pairs of channels, POINTS, vPitch] words of two steps, as vec4
// scale  [2] (halves_scale.wgsl)
// m      [ceil(ROWS / 2), POINTS, mPitch] words of two rows, as vec4; what lies behind the last column is written, too
// grid   x: ceil(COLUMNS / NT), y: ceil(ROWS / MT), z: POINTS
// reference: winogradHalvesProductOp in src/kernels/winogradHalves.ts
@group(0) @binding(0) var<storage, read> u: array<vec4u>;
@group(0) @binding(1) var<storage, read> v: array<vec4u>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4u>;
#params
#include halves

var<workgroup> uTile: array<vec4f, ${BK * MT / 2}>;  // [half 2][step BK][row MT / 4]
var<workgroup> vTile: array<vec4f, ${BK * NT / 2}>;  // [half 2][step BK][column NT / 4]

@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let lane = index % 32u;
  let part = index / 32u;
  // First vec4 of an invocation's rows and columns in the block; the others follow 4 and 8 apart.
  let uLane = part / ${NT / (8 * TN)}u * ${TM}u + lane / 16u * 2u + lane % 2u;
  let vLane = part % ${NT / (8 * TN)}u * ${2 * TN}u + lane / 2u % 8u;
  let vBase = group.z * params.vPitch + params.firstOffset + group.y / params.tilesPerGroup * params.pairs * params.pairStride;
  let uBase = (group.z * params.rowTiles + group.y) * params.pairs * ${MT / 4}u + index;
#for i in 0..BK * NT / (8 * INVOCATIONS)
  let column${i} = min(group.x * ${NT / 4}u + (index + ${i * INVOCATIONS}u) % ${NT / 4}u, params.vPitch - 1u);
#end i
#for i in 0..TM, j in 0..TN / 4
  var acc${i}_${j} = vec4f();
#end i, j
#for i in 0..BK * MT / (8 * INVOCATIONS)
  var nextU${i} = vec4u();
#end i
#for i in 0..BK * NT / (8 * INVOCATIONS)
  var nextV${i} = vec4u();
#end i
  // Every turn loads the pairs of steps from k0 on, and multiplies those before.
  for (var k0 = 0u; k0 < params.pairs + ${BK / 2}u; k0 += ${BK / 2}u) {
    if (k0 < params.pairs) {
#for i in 0..BK * MT / (8 * INVOCATIONS)
      nextU${i} = u[uBase + k0 * ${MT / 4}u + ${i * INVOCATIONS}u];
#end i
#for i in 0..BK * NT / (8 * INVOCATIONS)
#if RAGGED
      nextV${i} = v[vBase + min(k0 + (index + ${i * INVOCATIONS}u) / ${NT / 4}u, params.pairs - 1u) * params.pairStride + column${i}];
#else
      nextV${i} = v[vBase + (k0 + (index + ${i * INVOCATIONS}u) / ${NT / 4}u) * params.pairStride + column${i}];
#end
#end i
    }
    if (k0 > 0u) {
      let uFrom = (k0 / ${BK / 2}u + 1u) % 2u * ${BK * MT / 4}u + uLane;
      let vFrom = (k0 / ${BK / 2}u + 1u) % 2u * ${BK * NT / 4}u + vLane;
#for k in 0..BK
      {
#for j in 0..TN / 4
        let b${j} = vTile[vFrom + ${k * NT / 4 + 8 * j}u];
#end j
#for q in 0..TM / 4
        let a${q} = uTile[uFrom + ${k * MT / 4 + 4 * q}u];
#for i in 0..4, j in 0..TN / 4
        acc${q * 4 + i}_${j} += a${q}[${i}] * b${j};
#end i, j
#end q
      }
#end k
    }
    if (k0 < params.pairs) {
      let half = k0 / ${BK / 2}u % 2u;
#for i in 0..BK * MT / (8 * INVOCATIONS)
      {
        let place = index + ${i * INVOCATIONS}u;
        let to = half * ${BK * MT / 4}u + place / ${MT / 4}u * ${MT / 2}u + place % ${MT / 4}u;
#if RAGGED
        // Steps behind the last one multiply by zero.
        let words = select(vec4u(), nextU${i}, k0 + place / ${MT / 4}u < params.pairs);
#else
        let words = nextU${i};
#end
#for e in 0..4
        let row${e} = unpack2x16float(words[${e}]);
#end e
        uTile[to] = vec4f(row0.x, row1.x, row2.x, row3.x);
        uTile[to + ${MT / 4}u] = vec4f(row0.y, row1.y, row2.y, row3.y);
      }
#end i
#for i in 0..BK * NT / (8 * INVOCATIONS)
      {
        let place = index + ${i * INVOCATIONS}u;
        let to = half * ${BK * NT / 4}u + place / ${NT / 4}u * ${NT / 2}u + place % ${NT / 4}u;
#for e in 0..4
        let column${e} = unpack2x16float(nextV${i}[${e}]);
#end e
        vTile[to] = vec4f(column0.x, column1.x, column2.x, column3.x);
        vTile[to + ${NT / 4}u] = vec4f(column0.y, column1.y, column2.y, column3.y);
      }
#end i
    }
    workgroupBarrier();
  }
  let factor = scale[1];
#for q in 0..TM / 4, i in 0..2
  {
    let row = group.y * ${MT}u + (uLane + ${4 * q}u) * 4u + ${2 * i}u;
    if (row < params.rows) {
      let at = (row / 2u * params.points + group.z) * params.mPitch;
#for j in 0..TN / 4
      {
        let column = group.x * ${NT / 4}u + vLane + ${8 * j}u;
        if (column < params.mPitch) {
          let upper = factor * acc${4 * q + 2 * i}_${j};
          let lower = factor * acc${4 * q + 2 * i + 1}_${j};
          m[at + column] = vec4u(halves(vec2f(upper.x, lower.x)), halves(vec2f(upper.y, lower.y)), halves(vec2f(upper.z, lower.z)), halves(vec2f(upper.w, lower.w)));
        }
      }
#end j
    }
  }
#end q, i
}

// The batched matrix products of Winograd convolution, for GPUs: m[p] = u[p] v[p] for every point p.
//
// A workgroup computes a block of MT rows x NT columns, each of its invocations TM x TN sums in named vec4 registers. Lots of BK
// steps are staged in workgroup memory, which holds two: while one is multiplied, the next one is loaded into registers, and
// from there stored in the other's place. One barrier a lot.
//
// 32 invocations stand 4 down and 8 across, numbered so that each 16 stand 2 down: these read 8 vec4 of columns that lie
// together and 2 of rows. Indices are made of the invocation's index, quotients and constants, whose range the compiler knows,
// so that it guards none of them.
//
// With PAIRS values are words of two signed 16-bit numbers, steps count words, and sums wrap modulo 2^32.
//
// u     [POINTS, ceil(ROWS / MT), DEPTH, MT], as vec4
// v     [channels, POINTS, vPitch]: steps are channels and columns tiles, as vec4; GATHERED: the reverse, as their strides say
// v1    like v; with SECOND the steps from firstDepth on, where a lot begins
// m     [ROWS, POINTS, mPitch], as vec4; what lies behind the last column is written, too
// grid  x: ceil(COLUMNS / NT), y: ceil(ROWS / MT), z: POINTS
// reference: winogradProductOp in src/kernels/winograd.ts
@group(0) @binding(0) var<storage, read> u: array<${VALUES}>;
#if GATHERED
@group(0) @binding(1) var<storage, read> v: array<${VALUE}>;
#else
@group(0) @binding(1) var<storage, read> v: array<${VALUES}>;
#end
#if SECOND
@group(0) @binding(2) var<storage, read> v1: array<${VALUES}>;
#end
@group(0) @binding(${2 + SECOND}) var<storage, read_write> m: array<${VALUES}>;
#params

var<workgroup> uTile: array<${VALUES}, ${BK * MT / 2}>;  // [half 2][step BK][row MT / 4]
var<workgroup> vTile: array<${VALUES}, ${BK * NT / 2}>;  // [half 2][step BK][column NT / 4]

@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let lane = index % 32u;
  let part = index / 32u;
  // First vec4 of an invocation's rows and columns in the block; the others follow 4 and 8 apart.
  let uLane = part / ${NT / (8 * TN)}u * ${TM}u + lane / 16u * 2u + lane % 2u;
  let vLane = part % ${NT / (8 * TN)}u * ${2 * TN}u + lane / 2u % 8u;
  let vBase = group.z * params.vPitch + params.firstOffset + group.y / params.tilesPerGroup * params.depth * params.stepStride;
  let uBase = (group.z * params.rowTiles + group.y) * params.depth * ${MT / 4}u + index;
#for i in 0..BK * NT / (4 * INVOCATIONS)
  let step${i} = (index + ${i * INVOCATIONS}u) / ${NT / 4}u;
#if GATHERED
#for e in 0..4
  let column${i}_${e} = min(group.x * ${NT}u + (index + ${i * INVOCATIONS}u) % ${NT / 4}u * 4u + ${e}u, params.columns - 1u) * params.columnStride;
#end e
#else
  let column${i} = min(group.x * ${NT / 4}u + (index + ${i * INVOCATIONS}u) % ${NT / 4}u, params.vPitch - 1u);
#end
#end i
#for i in 0..TM, j in 0..TN / 4
  var acc${i}_${j} = ${VALUES}();
#end i, j
#for i in 0..BK * MT / (4 * INVOCATIONS)
  var nextU${i} = ${VALUES}();
#end i
#for i in 0..BK * NT / (4 * INVOCATIONS)
  var nextV${i} = ${VALUES}();
#end i
  // Every turn loads the steps from k0 on, and multiplies those before.
  for (var k0 = 0u; k0 < params.depth + ${BK}u; k0 += ${BK}u) {
    if (k0 < params.depth) {
#for i in 0..BK * MT / (4 * INVOCATIONS)
      nextU${i} = u[uBase + k0 * ${MT / 4}u + ${i * INVOCATIONS}u];
#end i
#for i in 0..BK * NT / (4 * INVOCATIONS)
      {
#if RAGGED
        let at = vBase + min(k0 + step${i}, params.depth - 1u) * params.stepStride;
#else
        let at = vBase + (k0 + step${i}) * params.stepStride;
#end
#if GATHERED
        nextV${i} = ${VALUES}(v[at + column${i}_0], v[at + column${i}_1], v[at + column${i}_2], v[at + column${i}_3]);
#else
#if SECOND
        if (k0 < params.firstDepth) {
          nextV${i} = v[at + column${i}];
        } else {
          nextV${i} = v1[at - vBase - params.firstDepth * params.stepStride + group.z * params.vPitch + column${i}];
        }
#else
        nextV${i} = v[at + column${i}];
#end
#end
      }
#end i
    }
    if (k0 > 0u) {
      let uFrom = (k0 / ${BK}u + 1u) % 2u * ${BK * MT / 4}u + uLane;
      let vFrom = (k0 / ${BK}u + 1u) % 2u * ${BK * NT / 4}u + vLane;
#for k in 0..BK
      {
#for j in 0..TN / 4
        let b${j} = vTile[vFrom + ${k * NT / 4 + 8 * j}u];
#end j
#for q in 0..TM / 4
        let a${q} = uTile[uFrom + ${k * MT / 4 + 4 * q}u];
#for i in 0..4, j in 0..TN / 4
#if PAIRS
        acc${q * 4 + i}_${j} += ((a${q}[${i}] << 16u) >> 16u) * ((b${j} << vec4u(16u)) >> vec4u(16u)) + (a${q}[${i}] >> 16u) * (b${j} >> vec4u(16u));
#else
        acc${q * 4 + i}_${j} += a${q}[${i}] * b${j};
#end
#end i, j
#end q
      }
#end k
    }
    if (k0 < params.depth) {
      let uTo = k0 / ${BK}u % 2u * ${BK * MT / 4}u + index;
      let vTo = k0 / ${BK}u % 2u * ${BK * NT / 4}u + index;
#for i in 0..BK * MT / (4 * INVOCATIONS)
#if RAGGED
      // Steps behind the last one multiply by zero.
      uTile[uTo + ${i * INVOCATIONS}u] = select(${VALUES}(), nextU${i}, k0 + (index + ${i * INVOCATIONS}u) / ${MT / 4}u < params.depth);
#else
      uTile[uTo + ${i * INVOCATIONS}u] = nextU${i};
#end
#end i
#for i in 0..BK * NT / (4 * INVOCATIONS)
      vTile[vTo + ${i * INVOCATIONS}u] = nextV${i};
#end i
    }
    workgroupBarrier();
  }
#for q in 0..TM / 4, i in 0..4
  {
    let row = group.y * ${MT}u + (uLane + ${4 * q}u) * 4u + ${i}u;
    if (row < params.rows) {
      let at = (row * params.points + group.z) * params.mPitch;
#for j in 0..TN / 4
      {
        let column = group.x * ${NT / 4}u + vLane + ${8 * j}u;
        if (column < params.mPitch) {
          m[at + column] = acc${q * 4 + i}_${j};
        }
      }
#end j
    }
  }
#end q, i
}

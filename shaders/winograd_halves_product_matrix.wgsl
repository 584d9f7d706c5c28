// The batched matrix products of Winograd convolution over halves, by products of small matrices that a subgroup computes
// together: m[p] = u[p] v[p] for every point p, sums in f32.
//
// A workgroup is four subgroups of S lanes, two by two over a block of BM rows x BN columns. A subgroup holds TM x TN sums of
// M rows x N columns. A lot is 32 steps: 16 words of every row and column in workgroup memory, rows 20 words apart, so that
// eight of them start in different banks. There are two such buffers: while one is multiplied, the next lot is on its way, and
// one barrier a lot is enough. Sums leave through the same memory, a row of matrices at a time.
//
// u      [POINTS, ceil(ROWS / BM), ceil(DEPTH / 32), BM, 16] words of two steps, as vec4; missing steps zero
// v      [pairs of channels, POINTS, vPitch] words of two steps
// scale  [2] (halves_scale.wgsl)
// m      [ceil(ROWS / 2), POINTS, mPitch] words of two rows, as vec4; what lies behind the last column is written, too
// grid   x: ceil(COLUMNS / BN), y: ceil(ROWS / BM), z: POINTS
// reference: winogradHalvesProductOp in src/kernels/winogradHalves.ts
enable f16;
enable chromium_experimental_subgroup_matrix;
// Offsets follow from the place in the workgroup, which is one for a whole subgroup: workgroups have one dimension.
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Rows = subgroup_matrix_left<f16, ${K}, ${M}>;
alias Columns = subgroup_matrix_right<f16, ${N}, ${K}>;
alias Sums = subgroup_matrix_result<f32, ${N}, ${M}>;

@group(0) @binding(0) var<storage, read> u: array<vec4u>;
@group(0) @binding(1) var<storage, read> v: array<u32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4u>;
#params
#include halves

// Two buffers of [column][20 words] and [row][20 words]; at the end [row][column] of sums: M rows of the upper subgroups, then M
// of the lower ones.
var<workgroup> tile: array<vec4u, ${TILE}>;

@compute @workgroup_size(${4 * S})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let lots = (params.pairs + 15u) / 16u;
  let down = index / ${2 * S}u;
  let across = index / ${S}u % 2u;
  let vBase = group.z * params.vPitch + params.firstOffset + group.y / params.tilesPerGroup * params.pairs * params.pairStride;
  let uBase = (group.z * params.rowTiles + group.y) * lots * ${4 * BM}u + index;
  // An invocation always loads the same columns.
#for r in 0..XR
  let slot${r} = (index + ${4 * S * r}u) % ${BN}u;
  let column${r} = vBase + min(group.x * ${BN}u + slot${r}, params.vPitch - 1u);
#end r
#for i in 0..TM, j in 0..TN
  var acc${i}_${j}: Sums;
#end i, j
  for (var lot = 0u; lot <= lots; lot++) {
#for n in 0..XU
    var v${n}: vec4u;
#end n
#for n in 0..WU
    var u${n}: vec4u;
#end n
    if (lot < lots) {
#for n in 0..XU
      {
        let pair = 16u * lot + 4u * ((index + ${4 * S * n}u) / ${BN}u);
#for e in 0..4
#if RAGGED
        let x${e} = v[column${n % XR} + min(pair + ${e}u, params.pairs - 1u) * params.pairStride];
#else
        let x${e} = v[column${n % XR} + (pair + ${e}u) * params.pairStride];
#end
#end e
        v${n} = vec4u(x0, x1, x2, x3);
      }
#end n
#for n in 0..WU
      u${n} = u[uBase + lot * ${4 * BM}u + ${4 * S * n}u];
#end n
    }
    if (lot > 0u) {
      // WebGPU checks every access of workgroup memory. These bounds are never reached; a driver that sees them can drop the checks.
      let current = select(0u, ${BUFFER}u, (lot & 1u) == 0u);
#for k in 0..32 / K
      {
#for i in 0..TM
        let a${i} = subgroupMatrixLoad<Rows, row_major>(&tile, min(current + (down * ${TM * M}u + ${BN + i * M}u) * 5u + ${k * K / 8}u, ${2 * BUFFER - 5 * M + k * K / 8}u), 5u);
#end i
#for j in 0..TN
        let b${j} = subgroupMatrixLoad<Columns, col_major>(&tile, min(current + (across * ${TN * N}u + ${j * N}u) * 5u + ${k * K / 8}u, ${2 * BUFFER - 5 * N + k * K / 8}u), 5u);
#for i in 0..TM
        acc${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, acc${i}_${j});
#end i
#end j
      }
#end k
    }
    if (lot < lots) {
      let following = select(0u, ${BUFFER}u, (lot & 1u) == 1u);
#for n in 0..XU
      tile[following + slot${n % XR} * 5u + (index + ${4 * S * n}u) / ${BN}u] = v${n};
#end n
#for n in 0..WU
      tile[following + (${BN}u + (index + ${4 * S * n}u) / 4u) * 5u + (index + ${4 * S * n}u) % 4u] = u${n};
#end n
    }
    workgroupBarrier();
  }
  let factor = scale[1];
  let place = index % ${BN / 4}u;
  let column = group.x * ${BN / 4}u + place;
#for i in 0..TM
#if i > 0
  workgroupBarrier();
#end
#for j in 0..TN
  subgroupMatrixStore<row_major>(&tile, down * ${M * PITCH}u + across * ${TN * N / 4}u + ${j * N / 4}u, acc${i}_${j}, ${PITCH}u);
#end j
  workgroupBarrier();
  for (var row = index / ${BN / 4}u * 2u; row < ${2 * M}u; row += ${32 * S / BN}u) {
    let channel = group.y * ${BM}u + (row / ${M}u * ${TM}u + ${i}u) * ${M}u + row % ${M}u;
    if (channel < params.rows && column < params.mPitch) {
      let upper = factor * bitcast<vec4f>(tile[row * ${PITCH}u + place]);
      let lower = factor * bitcast<vec4f>(tile[row * ${PITCH}u + ${PITCH}u + place]);
      m[(channel / 2u * params.points + group.z) * params.mPitch + column] = vec4u(halves(vec2f(upper.x, lower.x)), halves(vec2f(upper.y, lower.y)), halves(vec2f(upper.z, lower.z)), halves(vec2f(upper.w, lower.w)));
    }
  }
#end i
}

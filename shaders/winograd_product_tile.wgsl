// The batched matrix products of Winograd convolution, for GPUs: m[p] = u[p] v[p] for every point p.
//
// A workgroup of 16 x WY invocations computes a block of WY * TM rows x 16 * TN columns; each invocation keeps TM x TN sums in
// named vec4 registers. Blocks of BK steps are staged in workgroup memory and read as vec4.
//
// u     [POINTS, ceil(ROWS / MT), DEPTH, MT] with MT = WY * TM, as vec4
// v     [channels, POINTS, vPitch]: steps are channels and columns tiles, or the reverse, as their strides say
// m     [ROWS, POINTS, mPitch]
// grid  x: ceil(COLUMNS / (16 * TN)), y: ceil(ROWS / MT), z: POINTS
// reference: winogradProductOp in src/kernels/winograd.ts
@group(0) @binding(0) var<storage, read> u: array<vec4f>;
@group(0) @binding(1) var<storage, read> v: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
#params

var<workgroup> uTile: array<vec4f, ${BK * MT / 4}>;  // [step BK][row MT / 4]
var<workgroup> vTile: array<vec4f, ${BK * 4 * TN}>;  // [step BK][column 16 * TN / 4]

@compute @workgroup_size(16, ${WY})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let column = group.x * ${16 * TN}u;
  let vBase = group.z * params.vPitch + params.firstOffset + group.y / params.tilesPerGroup * params.depth * params.stepStride;
  let uBase = (group.z * params.rowTiles + group.y) * params.depth * ${MT / 4}u;
#for i in 0..TM
#for j in 0..TN / 4
  var acc${i}_${j} = vec4f();
#end
#end
  for (var k0 = 0u; k0 < params.depth; k0 += ${BK}u) {
#for i in 0..BK * MT / (64 * WY)
    {
      let slot = index + ${i * 16 * WY}u;
      let k = k0 + slot / ${MT / 4}u;
      uTile[slot] = select(vec4f(), u[uBase + min(k, params.depth - 1u) * ${MT / 4}u + slot % ${MT / 4}u], k < params.depth);
    }
#end
#for i in 0..BK * TN / (4 * WY)
    {
      let slot = index + ${i * 16 * WY}u;
      let k = min(k0 + slot / ${4 * TN}u, params.depth - 1u);
      let first = column + slot % ${4 * TN}u * 4u;
      let at = vBase + k * params.stepStride;
      let end = params.columns - 1u;
      vTile[slot] = vec4f(v[at + min(first, end) * params.columnStride], v[at + min(first + 1u, end) * params.columnStride],
        v[at + min(first + 2u, end) * params.columnStride], v[at + min(first + 3u, end) * params.columnStride]);
    }
#end
    workgroupBarrier();
#for k in 0..BK
    {
#for j in 0..TN / 4
      let b${j} = vTile[${k * 4 * TN + j * 16}u + local.x];
#end
#for q in 0..TM / 4
      let a${q} = uTile[${k * MT / 4}u + local.y * ${TM / 4}u + ${q}u];
#for i in 0..4
#for j in 0..TN / 4
      acc${q * 4 + i}_${j} += a${q}[${i}] * b${j};
#end
#end
#end
    }
#end
    workgroupBarrier();
  }
#for i in 0..TM
  {
    let row = group.y * ${MT}u + local.y * ${TM}u + ${i}u;
    if (row < params.rows) {
#for j in 0..TN / 4
#for e in 0..4
      {
        let c = column + ${j * 64 + e}u + local.x * 4u;
        if (c < params.columns) {
          m[(row * params.points + group.z) * params.mPitch + c] = acc${i}_${j}[${e}];
        }
      }
#end
#end
    }
  }
#end
}

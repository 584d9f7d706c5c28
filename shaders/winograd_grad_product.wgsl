// The batched matrix products of a Winograd weight gradient, for GPUs: m[p] = u[p] v[p]^T for every point p, split over tiles.
//
// Both operands have their tiles in a row, so that an invocation loads a vec4 of four tiles, and multiplies it by four of the other
// operand. A workgroup computes a block of MT rows x NT columns, each of its invocations TM x TN sums in registers. BK = 16 tiles
// of every row and column are staged in workgroup memory, which holds two such lots: while one is multiplied, the next one is
// loaded into registers, and from there stored in the other's place. One barrier a lot.
//
// A row of a lot is four vec4, slots, and workgroup memory serves eight vec4 at a time from different banks. Slot s of row r lies
// at place s ^ (r / 2 % 4): eight rows in a row have their slot s in eight places, and so have all slots of two rows.
//
// 32 invocations stand 4 down and 8 across, numbered so that each 16 stand 2 down: these read 8 vec4 of neighboring columns and 2
// of rows. Tiles behind the last one count as zero, whatever lies there.
//
// u     [ROWS, POINTS, pitch], as vec4
// v     [COLUMNS, POINTS, pitch], as vec4
// m     [SPLITS, ROWS, POINTS, mPitch]
// grid  x: ceil(COLUMNS / NT), y: ceil(ROWS / MT), z: POINTS * SPLITS
// reference: conv2dWeightGradOp in src/gradients/conv2dWeightGrad.ts
@group(0) @binding(0) var<storage, read> u: array<vec4f>;
@group(0) @binding(1) var<storage, read> v: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
#params

var<workgroup> uTile: array<vec4f, ${MT * 8}>;  // [half 2][row MT][slot 4]
var<workgroup> vTile: array<vec4f, ${NT * 8}>;  // [half 2][column NT][slot 4]

@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let point = group.z % params.points;
  let split = group.z / params.points;
  let first = split * params.tilesPerSplit;
  let last = min(first + params.tilesPerSplit, params.tiles);
  // What an invocation stages: one slot of rows that are INVOCATIONS / 4 apart.
  let slot = index % 4u;
  let staged = index / 4u * 4u + (slot ^ (index / 8u % 4u));
#for i in 0..MT * 4 / INVOCATIONS
  let row${i} = (min(group.y * ${MT}u + index / 4u + ${i * INVOCATIONS / 4}u, params.rows - 1u) * params.points + point) * params.pitch + slot;
#end i
#for i in 0..NT * 4 / INVOCATIONS
  let column${i} = (min(group.x * ${NT}u + index / 4u + ${i * INVOCATIONS / 4}u, params.columns - 1u) * params.points + point) * params.pitch + slot;
#end i
  // What it multiplies: rows 4 apart and columns 8 apart.
  let lane = index % 32u;
  let part = index / 32u;
  let down = lane / 16u * 2u + lane % 2u;
  let across = lane / 2u % 8u;
  let rowInBlock = part / ${NT / (8 * TN)}u * ${4 * TM}u + down;
  let columnInBlock = part % ${NT / (8 * TN)}u * ${8 * TN}u + across;
#for i in 0..TM, j in 0..TN
  var acc${i}_${j} = 0.0;
#end i, j
#for i in 0..MT * 4 / INVOCATIONS
  var nextU${i} = vec4f();
#end i
#for i in 0..NT * 4 / INVOCATIONS
  var nextV${i} = vec4f();
#end i
  // Every turn loads the tiles from t0 on, and multiplies those before.
  var half = 0u;
  for (var t0 = first; t0 < last + 16u; t0 += 16u) {
    if (t0 < last) {
      let inside = vec4u(t0 + 4u * slot) + vec4u(0u, 1u, 2u, 3u) < vec4u(last);
#for i in 0..MT * 4 / INVOCATIONS
      nextU${i} = select(vec4f(), u[row${i} + t0 / 4u], inside);
#end i
#for i in 0..NT * 4 / INVOCATIONS
      nextV${i} = select(vec4f(), v[column${i} + t0 / 4u], inside);
#end i
    }
    if (t0 > first) {
      let fromU = (1u - half) * ${4 * MT}u + rowInBlock * 4u;
      let fromV = (1u - half) * ${4 * NT}u + columnInBlock * 4u;
      for (var s = 0u; s < 4u; s++) {
        let placeU = fromU + (s ^ (down / 2u));
        let placeV = fromV + (s ^ (across / 2u));
#for j in 0..TN
        let b${j} = vTile[placeV + ${32 * j}u];
#end j
#for i in 0..TM
        {
          let a = uTile[(placeU ^ ${i % 2 * 2}u) + ${16 * i}u];
#for e in 0..4, j in 0..TN
          acc${i}_${j} += a[${e}] * b${j}[${e}];
#end e, j
        }
#end i
      }
    }
    if (t0 < last) {
#for i in 0..MT * 4 / INVOCATIONS
      uTile[half * ${4 * MT}u + staged + ${i * INVOCATIONS}u] = nextU${i};
#end i
#for i in 0..NT * 4 / INVOCATIONS
      vTile[half * ${4 * NT}u + staged + ${i * INVOCATIONS}u] = nextV${i};
#end i
    }
    half = 1u - half;
    workgroupBarrier();
  }
#for i in 0..TM
  {
    let row = group.y * ${MT}u + rowInBlock + ${4 * i}u;
    if (row < params.rows) {
      let at = ((split * params.rows + row) * params.points + point) * params.mPitch;
#for j in 0..TN
      {
        let column = group.x * ${NT}u + columnInBlock + ${8 * j}u;
        if (column < params.columns) {
          m[at + column] = acc${i}_${j};
        }
      }
#end j
    }
  }
#end i
}

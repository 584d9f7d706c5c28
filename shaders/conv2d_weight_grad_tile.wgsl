// conv2dWeightGrad for GPUs: matrix product in workgroup memory, split over pixels.
//
// M = output channels, N = CI * KH * KW columns, K = output pixels (flattened over images and rows), cut into splits whose
// partial sums are added in a fixed order (fold_splits.wgsl): deterministic, unlike atomics. A workgroup computes MT channels x
// NT columns of one split, an invocation TM x TN of them in vec4 registers. Lots of 16 pixels are staged in workgroup memory,
// which holds two: while one is multiplied, the next one is loaded into registers, and from there stored in the other's place.
// One barrier a lot.
//
// Neighboring invocations load neighboring pixels of four channels or columns, a vec4, which lies in workgroup memory as [pixel]
// [quad]. Workgroup memory serves eight vec4 at a time from different banks. Quad c of pixel p lies at place c ^ (p % 8): eight
// pixels store one quad in eight places, and eight quads of one pixel are read from eight.
//
// 32 invocations stand 4 down and 8 across, numbered so that each 16 stand 2 down: these read 8 vec4 of neighboring columns and
// 2 of rows.
//
// x        [N, CI, H, W]
// dy       [N, CO, OH, OW]
// partial  [SPLITS, CO, CI * KH * KW]
// grid     x: ceil(CI * KH * KW / NT), y: ceil(CO / MT), z: splits
// reference: conv2dWeightGradOp in src/gradients/conv2dWeightGrad.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;
#params

var<workgroup> dyTile: array<vec4f, ${MT * 8}>;  // [half 2][pixel 16][channel MT / 4]
var<workgroup> xTile: array<vec4f, ${NT * 8}>;   // [half 2][pixel 16][column NT / 4]

@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let plane = params.height * params.width;
  let columns = params.inChannels * ${KH * KW}u;
  let first = group.z * params.pixelsPerSplit;
  let last = min(first + params.pixelsPerSplit, params.batch * outPlane);
  // What an invocation stages: quads of channels and columns, INVOCATIONS / 16 apart, of every sixteenth pixel.
  let pixel = index % 16u;
#for i in 0..MT * 4 / INVOCATIONS
  let channel${i} = min(vec4u(group.y * ${MT}u + (index / 16u + ${i * INVOCATIONS / 16}u) * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(params.outChannels - 1u)) * outPlane;
  let dyTo${i} = pixel * ${MT / 4}u + ((index / 16u + ${i * INVOCATIONS / 16}u) ^ (pixel % 8u));
#end i
#for i in 0..NT * 4 / INVOCATIONS
  let column${i} = min(vec4u(group.x * ${NT}u + (index / 16u + ${i * INVOCATIONS / 16}u) * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(columns - 1u));
  let down${i} = column${i} / ${KW}u % ${KH}u;
  let across${i} = column${i} % ${KW}u;
  let offset${i} = column${i} / ${KH * KW}u * plane + down${i} * params.width + across${i};
  let xTo${i} = pixel * ${NT / 4}u + ((index / 16u + ${i * INVOCATIONS / 16}u) ^ (pixel % 8u));
#end i
  var image = (first + pixel) / outPlane;
  var oy = (first + pixel) % outPlane / params.outWidth;
  var ox = (first + pixel) % outPlane % params.outWidth;
  // What it multiplies: quads of channels 4 apart and of columns 8 apart.
  let lane = index % 32u;
  let part = index / 32u;
  let lower = lane / 16u * 2u + lane % 2u;
  let right = lane / 2u % 8u;
  let rowQuad = part / ${NT / (8 * TN)}u * ${TM}u + lower;
  let columnQuad = part % ${NT / (8 * TN)}u * ${2 * TN}u + right;
#for i in 0..TM, j in 0..TN / 4
  var acc${i}_${j} = vec4f();
#end i, j
#for i in 0..MT * 4 / INVOCATIONS
  var nextDy${i} = vec4f();
#end i
#for i in 0..NT * 4 / INVOCATIONS
  var nextX${i} = vec4f();
#end i
  var half = 0u;
  // Every turn loads the pixels from p0 on, and multiplies those before.
  for (var p0 = first; p0 < last + 16u; p0 += 16u) {
    if (p0 < last) {
      // Pixels behind the last one multiply by zero.
      let inside = p0 + pixel < last;
      let dyAt = select(0u, image * params.outChannels * outPlane + oy * params.outWidth + ox, inside);
#for i in 0..MT * 4 / INVOCATIONS
      nextDy${i} = select(vec4f(), vec4f(dy[channel${i}.x + dyAt], dy[channel${i}.y + dyAt], dy[channel${i}.z + dyAt], dy[channel${i}.w + dyAt]), inside);
#end i
      // Wraps below zero where a window begins before the first value; the values inside it come out right.
      let top = oy * ${STRIDE}u - ${PADDING}u;
      let left = ox * ${STRIDE}u - ${PADDING}u;
      let xAt = image * params.inChannels * plane + top * params.width + left;
#for i in 0..NT * 4 / INVOCATIONS
      {
#if PADDED
        let within = (vec4u(top) + down${i} < vec4u(params.height)) & (vec4u(left) + across${i} < vec4u(params.width)) & vec4<bool>(inside);
        let at = select(vec4u(), vec4u(xAt) + offset${i}, within);
        nextX${i} = select(vec4f(), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), within);
#else
        let at = select(vec4u(), vec4u(xAt) + offset${i}, inside);
        nextX${i} = vec4f(x[at.x], x[at.y], x[at.z], x[at.w]);
#end
      }
#end i
      ox += 16u;
      while (ox >= params.outWidth) {
        ox -= params.outWidth;
        oy++;
      }
      while (oy >= params.outHeight) {
        oy -= params.outHeight;
        image++;
      }
    }
    if (p0 > first) {
      for (var k = 0u; k < 16u; k += 8u) {
        let fromRows = ((1u - half) * 16u + k) * ${MT / 4}u;
        let fromColumns = ((1u - half) * 16u + k) * ${NT / 4}u;
#for k in 0..8
        {
#for j in 0..TN / 4
          let b${j} = xTile[fromColumns + (columnQuad ^ ${k}u) + ${k * NT / 4 + 8 * j}u];
#end j
#for q in 0..TM / 4
          let a${q} = dyTile[fromRows + ((rowQuad + ${4 * q}u) ^ ${k}u) + ${k * MT / 4}u];
#for i in 0..4, j in 0..TN / 4
          acc${q * 4 + i}_${j} += a${q}[${i}] * b${j};
#end i, j
#end q
        }
#end k
      }
    }
    if (p0 < last) {
#for i in 0..MT * 4 / INVOCATIONS
      dyTile[half * ${4 * MT}u + dyTo${i}] = nextDy${i};
#end i
#for i in 0..NT * 4 / INVOCATIONS
      xTile[half * ${4 * NT}u + xTo${i}] = nextX${i};
#end i
    }
    half = 1u - half;
    workgroupBarrier();
  }
#for q in 0..TM / 4, i in 0..4
  {
    let m = group.y * ${MT}u + (rowQuad + ${4 * q}u) * 4u + ${i}u;
    if (m < params.outChannels) {
      let at = (group.z * params.outChannels + m) * columns;
#for j in 0..TN / 4
      {
        let column = group.x * ${NT}u + (columnQuad + ${8 * j}u) * 4u;
#for e in 0..4
        if (column + ${e}u < columns) {
          partial[at + column + ${e}u] = acc${q * 4 + i}_${j}[${e}];
        }
#end e
      }
#end j
    }
  }
#end q, i
}

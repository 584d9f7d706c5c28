// conv2dWeightGrad for GPUs: matrix product in workgroup memory, split over pixels.
//
// M = output channels, N = CI * KH * KW, K = output pixels (flattened over images and rows), cut into splits whose partial
// sums are added in a fixed order (fold_splits.wgsl): deterministic, unlike atomics. A workgroup of 16 x 16 invocations
// computes 64 x 64 of one split; each keeps a 4 x 4 block in four vec4 registers.
//
// x        [N, CI, H, W]  already padded
// dy       [N, CO, OH, OW]
// partial  [SPLITS, CO, CI * KH * KW]
// grid     x: ceil(CI * KH * KW / 64), y: ceil(CO / 64), z: splits
// reference: conv2dWeightGradOp in src/kernels/conv2dWeightGrad.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;
#params

var<workgroup> dyTile: array<vec4f, 256>;  // [pixel 16][channel 64 / 4]
var<workgroup> xTile: array<vec4f, 256>;   // [pixel 16][column 64 / 4]

fn columnOffset(column: u32) -> u32 {
  let taps = params.kernelHeight * params.kernelWidth;
  let clamped = min(column, params.inChannels * taps - 1u);
  let tap = clamped % taps;
  return (clamped / taps * params.height + tap / params.kernelWidth) * params.width + tap % params.kernelWidth;
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let plane = params.height * params.width;
  let columns = params.inChannels * params.kernelHeight * params.kernelWidth;
  let pixelEnd = min((group.z + 1u) * params.pixelsPerSplit, params.batch * outPlane);
  let column = group.x * 64u + local.y * 4u;
  let offset = vec4u(columnOffset(column), columnOffset(column + 1u), columnOffset(column + 2u), columnOffset(column + 3u));
  let channel = min(vec4u(group.y * 64u + local.y * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(params.outChannels - 1u)) * outPlane;
  let slot = local.x * 16u + local.y;
#for i in 0..4
  var acc${i} = vec4f();
#end
  for (var p0 = group.z * params.pixelsPerSplit; p0 < pixelEnd; p0 += 16u) {
    let p = p0 + local.x;
    if (p < pixelEnd) {
      let n = p / outPlane;
      let q = p % outPlane;
      let at = n * params.inChannels * plane + (q / params.outWidth * params.width + q % params.outWidth) * params.stride;
      let dyAt = channel + n * params.outChannels * outPlane + q;
      dyTile[slot] = vec4f(dy[dyAt.x], dy[dyAt.y], dy[dyAt.z], dy[dyAt.w]);
      xTile[slot] = vec4f(x[at + offset.x], x[at + offset.y], x[at + offset.z], x[at + offset.w]);
    } else {
      dyTile[slot] = vec4f();
      xTile[slot] = vec4f();
    }
    workgroupBarrier();
#for k in 0..16
    {
      let a = dyTile[${k * 16}u + local.y];
      let b = xTile[${k * 16}u + local.x];
      acc0 += a.x * b;
      acc1 += a.y * b;
      acc2 += a.z * b;
      acc3 += a.w * b;
    }
#end
    workgroupBarrier();
  }
#for i in 0..4
  {
    let m = group.y * 64u + local.y * 4u + ${i}u;
    if (m < params.outChannels) {
#for j in 0..4
      if (group.x * 64u + local.x * 4u + ${j}u < columns) {
        partial[(group.z * params.outChannels + m) * columns + group.x * 64u + local.x * 4u + ${j}u] = acc${i}[${j}];
      }
#end
    }
  }
#end
}

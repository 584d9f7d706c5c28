// conv2d of any kernel size and stride, for GPUs: implicit matrix product in workgroup memory.
//
// M = output channels, P = output pixels (flattened over images and rows), K = CI * KH * KW. A workgroup of 16 x 16
// invocations computes 64 channels x 64 pixels; each invocation keeps a 4 x 4 block in four vec4 registers. Tiles of
// 16 x 64 weights and 16 x 64 pixels are staged in workgroup memory and read as vec4. Pixels are contiguous across
// invocations, so that global loads of x coalesce; weights are packed in the tile's own order and load as vec4.
//
// x     [N, CI, H, W]  already padded
// w     [ceil(CO / 64)][K][64]  (packWeights), as vec4
// y     [N, CO, OH, OW]
// grid  x: ceil(N * OH * OW / 64), y: ceil(CO / 64)
// reference: conv2dReference in src/kernels/conv2d.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
#if BIAS
@group(0) @binding(2) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(${2 + BIAS}) var<storage, read_write> y: array<f32>;
#params

var<workgroup> wTile: array<vec4f, 256>;  // [k 16][channel 64 / 4]
var<workgroup> xTile: array<vec4f, 256>;  // [k 16][pixel 64 / 4]

fn pixelAddress(p: u32) -> u32 {
  let outPlane = params.outHeight * params.outWidth;
  let clamped = min(p, params.batch * outPlane - 1u);
  let q = clamped % outPlane;
  return (clamped / outPlane) * params.inChannels * params.height * params.width
    + (q / params.outWidth) * params.stride * params.width + (q % params.outWidth) * params.stride;
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let outPlane = params.outHeight * params.outWidth;
  let pixels = params.batch * outPlane;
  let taps = params.kernelHeight * params.kernelWidth;
  let depth = params.inChannels * taps;
  let pixel = group.x * 64u + local.x * 4u;
  let at = vec4u(pixelAddress(pixel), pixelAddress(pixel + 1u), pixelAddress(pixel + 2u), pixelAddress(pixel + 3u));
  let slot = local.y * 16u + local.x;
#for i in 0..4
  var acc${i} = vec4f();
#end
  for (var k0 = 0u; k0 < depth; k0 += 16u) {
    let k = k0 + local.y;
    if (k < depth) {
      let ci = k / taps;
      let tap = k % taps;
      let offset = (ci * params.height + tap / params.kernelWidth) * params.width + tap % params.kernelWidth;
      xTile[slot] = vec4f(x[at.x + offset], x[at.y + offset], x[at.z + offset], x[at.w + offset]);
      wTile[slot] = w[(group.y * depth + k) * 16u + local.x];
    } else {
      xTile[slot] = vec4f();
      wTile[slot] = vec4f();
    }
    workgroupBarrier();
#for k in 0..16
    {
      let a = wTile[${k * 16}u + local.y];
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
#if BIAS
      var value = acc${i} + bias[m];
#else
      var value = acc${i};
#end
#if RELU
      value = max(value, vec4f());
#end
#for j in 0..4
      if (pixel + ${j}u < pixels) {
        y[((pixel + ${j}u) / outPlane * params.outChannels + m) * outPlane + (pixel + ${j}u) % outPlane] = value[${j}];
      }
#end
    }
  }
#end
}

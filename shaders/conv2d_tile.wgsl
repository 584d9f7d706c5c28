// conv2d of any kernel size and stride, for GPUs: implicit matrix product in workgroup memory.
//
// M = output channels, P = output pixels (flattened over images and rows), K = CI * KH * KW. A workgroup of 16 x 16
// invocations computes MT = 16 TM channels x 16 TN pixels; each invocation keeps TM x TN sums in vec4 registers. BK steps of
// weights and pixels are staged in workgroup memory and read as vec4. Pixels are contiguous across invocations, so that
// global loads of x coalesce; weights are packed in the tile's own order and load as vec4.
//
// x     [N, groups * CI, H, W]  already padded
// w     [ceil(CO / MT)][K][MT]  (packWeights), as vec4
// y     [N, CO, OH, OW]
// grid  x: ceil(N * OH * OW / (16 * TN)), y: ceil(CO / MT)
// reference: conv2dReference in src/kernels/conv2d.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
#if BIAS
@group(0) @binding(2) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(${2 + BIAS}) var<storage, read_write> y: array<f32>;
#params

var<workgroup> wTile: array<vec4f, ${BK * MT / 4}>;  // [step BK][channel MT / 4]
var<workgroup> xTile: array<vec4f, ${BK * 4 * TN}>;  // [step BK][pixel 16 * TN / 4]

fn pixelAddress(p: u32) -> u32 {
  let outPlane = params.outHeight * params.outWidth;
  let clamped = min(p, params.batch * outPlane - 1u);
  let q = clamped % outPlane;
  return (clamped / outPlane) * params.xChannels * params.height * params.width
    + (q / params.outWidth) * params.stride * params.width + (q % params.outWidth) * params.stride;
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let outPlane = params.outHeight * params.outWidth;
  let pixels = params.batch * outPlane;
  let taps = params.kernelHeight * params.kernelWidth;
  let depth = params.inChannels * taps;
  let firstPixel = group.x * ${16 * TN}u;
  let firstChannel = params.firstChannel + group.y * ${MT}u / params.channelsPerGroup * params.inChannels;
  // An invocation always stages the same pixels.
  let staged = firstPixel + index % ${4 * TN}u * 4u;
  let at = vec4u(pixelAddress(staged), pixelAddress(staged + 1u), pixelAddress(staged + 2u), pixelAddress(staged + 3u));
#for i in 0..TM
#for j in 0..TN / 4
  var acc${i}_${j} = vec4f();
#end
#end
  for (var k0 = 0u; k0 < depth; k0 += ${BK}u) {
#for i in 0..BK * MT / 1024
    {
      let slot = index + ${i * 256}u;
      let k = k0 + slot / ${MT / 4}u;
      wTile[slot] = select(vec4f(), w[(group.y * depth + min(k, depth - 1u)) * ${MT / 4}u + slot % ${MT / 4}u], k < depth);
    }
#end
#for i in 0..BK * TN / 64
    {
      let slot = index + ${i * 256}u;
      let k = min(k0 + slot / ${4 * TN}u, depth - 1u);
      let tap = k % taps;
      let offset = ((firstChannel + k / taps) * params.height + tap / params.kernelWidth) * params.width + tap % params.kernelWidth;
      xTile[slot] = vec4f(x[at.x + offset], x[at.y + offset], x[at.z + offset], x[at.w + offset]);
    }
#end
    workgroupBarrier();
#for k in 0..BK
    {
#for j in 0..TN / 4
      let b${j} = xTile[${k * 4 * TN + j * 16}u + local.x];
#end
#for q in 0..TM / 4
      let a${q} = wTile[${k * MT / 4}u + local.y * ${TM / 4}u + ${q}u];
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
    let m = group.y * ${MT}u + local.y * ${TM}u + ${i}u;
    if (m < params.outChannels) {
#for j in 0..TN / 4
      {
#if BIAS
        var value = acc${i}_${j} + bias[m];
#else
        var value = acc${i}_${j};
#end
#if RELU
        value = max(value, vec4f());
#end
#for e in 0..4
        {
          let pixel = firstPixel + ${j * 64 + e}u + local.x * 4u;
          if (pixel < pixels) {
            y[(pixel / outPlane * params.outChannels + m) * outPlane + pixel % outPlane] = value[${e}];
          }
        }
#end
      }
#end
    }
  }
#end
}

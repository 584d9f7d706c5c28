// conv2d of any kernel size, stride and padding, one output per invocation: the plain statement of the operation, for
// devices without subgroups and for layers too small to tile.
//
// x     [N, groups * CI, H, W]
// w     [CO, CI, KH, KW]
// y     [N, CO, OH, OW]
// grid  one invocation per output, folded
// reference: conv2dReference in src/kernels/conv2dReference.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
#if BIAS
@group(0) @binding(2) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(${2 + BIAS}) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  let outPlane = params.outHeight * params.outWidth;
  if (index >= params.batch * params.outChannels * outPlane) {
    return;
  }
  let n = index / (params.outChannels * outPlane);
  let m = index / outPlane % params.outChannels;
  let top = i32(index % outPlane / params.outWidth * params.stride) - i32(params.padding);
  let left = i32(index % params.outWidth * params.stride) - i32(params.padding);
  let image = n * params.xChannels + params.firstChannel + m / params.channelsPerGroup * params.inChannels;
  var sum = 0.0;
  for (var ci = 0u; ci < params.inChannels; ci++) {
    for (var ky = 0u; ky < params.kernelHeight; ky++) {
      let iy = top + i32(ky);
      if (iy < 0 || iy >= i32(params.height)) {
        continue;
      }
      let row = ((image + ci) * params.height + u32(iy)) * params.width;
      let weights = ((m * params.inChannels + ci) * params.kernelHeight + ky) * params.kernelWidth;
      for (var kx = 0u; kx < params.kernelWidth; kx++) {
        let ix = left + i32(kx);
        if (ix >= 0 && ix < i32(params.width)) {
          sum += w[weights + kx] * x[row + u32(ix)];
        }
      }
    }
  }
#if BIAS
  sum += bias[m];
#end
#if RELU
  sum = max(sum, 0.0);
#end
  y[index] = sum;
}

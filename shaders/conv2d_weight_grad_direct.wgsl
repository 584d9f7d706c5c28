// conv2dWeightGrad, one weight per invocation: the plain statement of the operation.
//
// x     [N, CI, H, W]
// dy    [N, CO, OH, OW]
// dw    [CO, CI, KH, KW]
// grid  one invocation per weight, folded
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let kx = i32(index % params.kernelWidth);
  let ky = i32(index / params.kernelWidth % params.kernelHeight);
  let ci = index / (params.kernelWidth * params.kernelHeight) % params.inChannels;
  let co = index / (params.kernelWidth * params.kernelHeight * params.inChannels);
  var total = 0.0;
  for (var n = 0u; n < params.batch; n++) {
    for (var oy = 0u; oy < params.outHeight; oy++) {
      let iy = i32(oy * params.stride) - i32(params.padding) + ky;
      if (iy < 0 || iy >= i32(params.height)) {
        continue;
      }
      // One sum per row keeps the rounding error of long sums down.
      var sum = 0.0;
      for (var ox = 0u; ox < params.outWidth; ox++) {
        let ix = i32(ox * params.stride) - i32(params.padding) + kx;
        if (ix >= 0 && ix < i32(params.width)) {
          sum += dy[((n * params.outChannels + co) * params.outHeight + oy) * params.outWidth + ox]
            * x[((n * params.inChannels + ci) * params.height + u32(iy)) * params.width + u32(ix)];
        }
      }
      total += sum;
    }
  }
  dw[index] = total;
}

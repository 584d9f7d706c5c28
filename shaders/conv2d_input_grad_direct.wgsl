// conv2dInputGrad, one input element per invocation: gathers every output that the element took part in.
//
// dy    [N, CO, OH, OW]
// w     [CO, CI, KH, KW]
// dx    [N, CI, H, W]
// grid  one invocation per element of dx, folded
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let ix = index % params.width + params.padding;
  let iy = index / params.width % params.height + params.padding;
  let ci = index / (params.width * params.height) % params.inChannels;
  let n = index / (params.width * params.height * params.inChannels);
  var sum = 0.0;
  for (var ky = iy % params.stride; ky < params.kernelHeight && ky <= iy; ky += params.stride) {
    let oy = (iy - ky) / params.stride;
    if (oy >= params.outHeight) {
      continue;
    }
    for (var kx = ix % params.stride; kx < params.kernelWidth && kx <= ix; kx += params.stride) {
      let ox = (ix - kx) / params.stride;
      if (ox >= params.outWidth) {
        continue;
      }
      for (var co = 0u; co < params.outChannels; co++) {
        sum += dy[((n * params.outChannels + co) * params.outHeight + oy) * params.outWidth + ox]
          * w[((co * params.inChannels + ci) * params.kernelHeight + ky) * params.kernelWidth + kx];
      }
    }
  }
  dx[index] = sum;
}

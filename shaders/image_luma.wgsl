// imageLuma: .299 R + .587 G + .114 B of every pixel, in [0, 1].
//
// image  [N, H, W] u32 pixels
// y      [N, H, W]
// grid   one invocation per pixel, folded
// reference: src/kernels/image.ts
@group(0) @binding(0) var<storage, read> image: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params
#include grid
#include pixel

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index < params.size) {
    y[index] = lumaOf(pixelColor(image[index]));
  }
}

// swapRedBlue: pixel words of bytes B, G, R, A as words of bytes R, G, B, A.
//
// image  [N] u32 pixels
// y      [N] u32 pixels
// grid   one invocation per pixel, folded
// reference: src/kernels/swapRedBlue.ts
@group(0) @binding(0) var<storage, read> image: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let word = image[index];
  y[index] = (word & 0xff00ff00u) | ((word >> 16u) & 255u) | ((word & 255u) << 16u);
}

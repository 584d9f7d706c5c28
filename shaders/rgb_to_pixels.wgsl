// rgbToPixels: RGB triples to pixel words. An invocation turns three words into four pixels.
//
// bytes  u32, four bytes each: R, G, B of pixel after pixel
// y      [1, H, W] u32 pixels
// grid   one invocation per four pixels, folded
// reference: src/kernels/image.ts
@group(0) @binding(0) var<storage, read> bytes: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (4u * index >= params.size) {
    return;
  }
  let a = bytes[3u * index];
  let b = bytes[3u * index + 1u];
  let c = bytes[3u * index + 2u];
  let pixels = vec4u(a, (a >> 24u) | (b << 8u), (b >> 16u) | (c << 16u), c >> 8u) | vec4u(0xff000000u);
  y[4u * index] = pixels.x;
  if (4u * index + 1u < params.size) {
    y[4u * index + 1u] = pixels.y;
  }
  if (4u * index + 2u < params.size) {
    y[4u * index + 2u] = pixels.z;
  }
  if (4u * index + 3u < params.size) {
    y[4u * index + 3u] = pixels.w;
  }
}

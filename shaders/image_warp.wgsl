// imageWarp: samples an image in perspective, bilinearly in 1/256 of a pixel, rounded to bytes. Beyond the image its edge goes on.
//
// image   [N, H, W] u32 pixels
// y       [N, OH, OW] u32 pixels; its pixel (i, j) shows the image at M (i + 1/2, j + 1/2, 1)
// params  rows x, y and w of M
// grid    one invocation per output pixel, folded
// reference: src/kernels/imageWarp.ts
@group(0) @binding(0) var<storage, read> image: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
#params
#include grid

fn pixel(base: u32, column: i32, row: i32) -> vec4u {
  let x = u32(clamp(column, 0, i32(params.sourceWidth) - 1));
  let word = image[base + u32(clamp(row, 0, i32(params.height) - 1)) * params.width + x];
  return vec4u(word, word >> 8u, word >> 16u, word >> 24u) & vec4u(255u);
}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let i = f32(index % params.outWidth) + 0.5;
  let j = f32(index / params.outWidth % params.outHeight) + 0.5;
  let base = index / (params.outWidth * params.outHeight) * params.height * params.width;
  let w = params.wi * i + params.wj * j + params.w1;
  let at = vec2f(params.xi * i + params.xj * j + params.x1, params.yi * i + params.yj * j + params.y1) / w - 0.5;
  let fixed = vec2i(floor(at * 256.0 + 0.5));
  let first = fixed >> vec2u(8u);
  let t = vec2u(fixed & vec2i(255));
  let top = pixel(base, first.x, first.y) * (256u - t.x) + pixel(base, first.x + 1, first.y) * t.x;
  let bottom = pixel(base, first.x, first.y + 1) * (256u - t.x) + pixel(base, first.x + 1, first.y + 1) * t.x;
  let bytes = (top * (256u - t.y) + bottom * t.y + 32768u) >> vec4u(16u);
  y[index] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

// imageResize: one pass (rows or columns) of an antialiased resize in the fixed-point arithmetic of Pillow, rounded to bytes.
//
// image    [N, H, W] u32 pixels
// bounds   [OUT, 2] u32: first source index, number of taps
// weights  [OUT, TAPS] u32: two's-complement fixed point, 22 fractional bits
// y        [N, H, OUT] (HORIZONTAL) or [N, OUT, W] u32 pixels
// grid     one invocation per output pixel, folded
// reference: src/kernels/image.ts
@group(0) @binding(0) var<storage, read> image: array<u32>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let ox = index % params.outWidth;
  let oy = index / params.outWidth % params.outHeight;
  let n = index / (params.outWidth * params.outHeight);
#if HORIZONTAL
  let o = ox;
  let step = 1u;
  var at = (n * params.height + oy) * params.width + bounds[2u * o];
#else
  let o = oy;
  let step = params.width;
  var at = (n * params.height + bounds[2u * o]) * params.width + ox;
#end
  var sum = vec4i(1 << 21u);
  let taps = bounds[2u * o + 1u];
  for (var t = 0u; t < taps; t++) {
    let word = image[at];
    let weight = i32(weights[o * params.taps + t]);
    sum += weight * vec4i(vec4u(word, word >> 8u, word >> 16u, word >> 24u) & vec4u(255u));
    at += step;
  }
  let bytes = vec4u(clamp(sum >> vec4u(22u), vec4i(0), vec4i(255)));
  y[index] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

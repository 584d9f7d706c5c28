// imageToTensor: bytes to normalized planes, optionally with a color change per image first.
//
// image   [N, H, W] u32 pixels
// change  [N, 2]  kind, factor   (ADJUST; kinds: 0 none, 1 brightness, 2 contrast, 3 saturation, 4 grayscale)
// luma    [N]     mean luma of the image (ADJUST)
// y       [N, 3, H, W] = (color - mean) / std, ImageNet statistics
// grid    one invocation per pixel, folded
// reference: src/kernels/image.ts
@group(0) @binding(0) var<storage, read> image: array<u32>;
#if ADJUST
@group(0) @binding(1) var<storage, read> change: array<f32>;
@group(0) @binding(2) var<storage, read> luma: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#end
#params
#include grid
#include pixel

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let n = index / params.plane;
  var color = pixelColor(image[index]);
#if ADJUST
  let kind = u32(change[2u * n]);
  let factor = change[2u * n + 1u];
  if (kind == 1u) {
    color = clamp(factor * color, vec3f(), vec3f(1.0));
  } else if (kind == 2u) {
    color = clamp((color - luma[n]) * factor + luma[n], vec3f(), vec3f(1.0));
  } else if (kind == 3u) {
    let gray = lumaOf(color);
    color = clamp((color - gray) * factor + gray, vec3f(), vec3f(1.0));
  } else if (kind == 4u) {
    color = vec3f(lumaOf(color));
  }
#end
  let at = n * 3u * params.plane + index % params.plane;
  y[at] = (color.x - 0.485) / 0.229;
  y[at + params.plane] = (color.y - 0.456) / 0.224;
  y[at + 2u * params.plane] = (color.z - 0.406) / 0.225;
}

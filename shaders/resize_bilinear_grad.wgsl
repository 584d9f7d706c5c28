// resizeBilinearGrad: gathers, for every input element, the outputs that were interpolated from it (no atomics).
//
// dy    [N, C, OH, OW]
// dx    [N, C, H, W]
// grid  x: columns / 8, y: rows / 8, z: planes; one invocation per element of dx (no division: CPUs do it lane by lane)
// reference: src/gradients/resizeBilinearGrad.ts
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
#params

// How much of output `o` was taken from input `i`.
fn share(o: u32, i: u32, scale: f32, size: u32) -> f32 {
  let f = max((f32(o) + 0.5) * scale - 0.5, 0.0);
  let first = min(u32(f), size - 1u);
  let t = f - f32(first);
  return select(0.0, 1.0 - t, first == i) + select(0.0, t, min(first + 1u, size - 1u) == i);
}

// Outputs outside [low, high) cannot have touched input `i`; one more on each side guards against rounding.
fn low(i: u32, scale: f32) -> u32 {
  return u32(max(floor((f32(i) - 0.5) / scale - 0.5) - 1.0, 0.0));
}
fn high(i: u32, scale: f32, size: u32) -> u32 {
  return min(u32(ceil((f32(i) + 1.5) / scale - 0.5)) + 2u, size);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
#include workgroup
  let id = vec3u(group.xy * 8u + local.xy, group.z);
  if (id.x >= params.width || id.y >= params.height) {
    return;
  }
  let index = (id.z * params.height + id.y) * params.width + id.x;
  let ix = id.x;
  let iy = id.y;
  let plane = id.z * params.outHeight * params.outWidth;
  let xEnd = high(ix, params.scaleX, params.outWidth);
  let yEnd = high(iy, params.scaleY, params.outHeight);
  var sum = 0.0;
  for (var oy = low(iy, params.scaleY); oy < yEnd; oy++) {
    let wy = share(oy, iy, params.scaleY, params.height);
    if (wy == 0.0) {
      continue;
    }
    for (var ox = low(ix, params.scaleX); ox < xEnd; ox++) {
      sum += wy * share(ox, ix, params.scaleX, params.width) * dy[plane + oy * params.outWidth + ox];
    }
  }
  dx[index] = sum;
}

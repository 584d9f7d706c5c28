// avgPool2dGrad: dx = dy / 4 of the window that the element lies in; 0 for a last row or column that no window reaches.
//
// RELU also applies the gradient of the rectifier before the pool, one pass less over the largest maps.
//
// dy    [N, C, OH, OW]
// activation  [N, C, H, W]  output of the rectifier (RELU)
// dx    [N, C, H, W]
// grid  x: columns / 8, y: rows / 8, z: planes; one invocation per window, those that lie over the edge included (no division:
//       CPUs do it lane by lane)
// reference: src/gradients/avgPool2dGrad.ts
@group(0) @binding(0) var<storage, read> dy: array<f32>;
#if RELU
@group(0) @binding(1) var<storage, read> activation: array<f32>;
#end
@group(0) @binding(${1 + RELU}) var<storage, read_write> dx: array<f32>;
#params

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
#include workgroup
  let id = vec3u(group.xy * 8u + local.xy, group.z);
  let reached = id.x < params.outWidth && id.y < params.outHeight;
  let at = (id.z * params.outHeight + min(id.y, params.outHeight - 1u)) * params.outWidth + min(id.x, params.outWidth - 1u);
  let value = select(0.0, 0.25 * dy[at], reached);
#for ky in 0..2
  {
    // Left of or above the image the unsigned number is too large.
    let iy = 2u * id.y + ${ky}u - params.padding;
    let row = (id.z * params.height + iy) * params.width;
#for kx in 0..2
    let ix${kx} = 2u * id.x + ${kx}u - params.padding;
    if (iy < params.height && ix${kx} < params.width) {
#if RELU
      dx[row + ix${kx}] = select(0.0, value, activation[row + ix${kx}] > 0.0);
#else
      dx[row + ix${kx}] = value;
#end
    }
#end kx
  }
#end ky
}

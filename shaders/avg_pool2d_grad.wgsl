// avgPool2dGrad: dx = dy / 4 of the window that the element lies in; 0 for a last row or column that no window reaches.
//
// RELU also applies the gradient of the rectifier before the pool, one pass less over the largest maps.
//
// dy    [N, C, OH, OW]
// activation  [N, C, H, W]  output of the rectifier (RELU)
// dx    [N, C, H, W]
// grid  x: columns / 8, y: rows / 8, z: planes; one invocation per element of dx (no division: CPUs do it lane by lane)
// reference: src/kernels/avgPool2d.ts
@group(0) @binding(0) var<storage, read> dy: array<f32>;
#if RELU
@group(0) @binding(1) var<storage, read> activation: array<f32>;
#end
@group(0) @binding(${1 + RELU}) var<storage, read_write> dx: array<f32>;
#params

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width || id.y >= params.height) {
    return;
  }
  let index = (id.z * params.height + id.y) * params.width + id.x;
  let ox = (id.x + params.padding) / 2u;
  let oy = (id.y + params.padding) / 2u;
  var value = 0.0;
#if RELU
  let open = activation[index] > 0.0;
#else
  let open = true;
#end
  if (open && ox < params.outWidth && oy < params.outHeight) {
    value = 0.25 * dy[(id.z * params.outHeight + oy) * params.outWidth + ox];
  }
  dx[index] = value;
}

// Winograd input transform: every A x A tile of x, M apart, into A * A points.
//
// x     [N, CI, H, W]
// v     [CI, A * A, pitch], T = rows * tilesX of each row used: the tile rows firstRow, ... of all images, counted through the batch
// grid  x: ceil(T / WORKGROUP), y: ceil(CI / CHANNELS); one invocation per tile and CHANNELS input channels
// reference: src/kernels/winogradReferences.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> v: array<f32>;
#params
#include winograd

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
#include winogradTile
  let last = min((group.y + 1u) * ${CHANNELS}u, params.channels);
  for (var channel = group.y * ${CHANNELS}u; channel < last; channel++) {
    let base = (image * params.channels + channel) * plane;
#for j in 0..A
    let column${j} = inputTransform(Points(
#for i in 0..A
#if PADDED
      select(0.0, x[base + y${i} + x${j}], insideY${i} && insideX${j}),
#else
      x[base + y${i} + x${j}],
#end
#end i
    ));
#end j
    let at = channel * ${A * A}u * params.pitch + t;
#for i in 0..A
    let row${i} = inputTransform(Points(
#for j in 0..A
      column${j}.s${i},
#end j
    ));
#for j in 0..A
    v[at + ${i * A + j}u * params.pitch] = row${i}.s${j};
#end j
#end i
  }
}

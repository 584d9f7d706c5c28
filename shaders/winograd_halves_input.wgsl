// Winograd input transform into halves: every A x A tile of x, M apart, of two channels into A * A points, times 2^-SHIFT.
//
// x     [N, CI, H, W]
// v     [ceil(CI / 2), A * A, pitch] words of two channels, T = rows * tilesX of each row used: the tile rows firstRow, ... of all
//       images, counted through the batch
// grid  x: ceil(T / WORKGROUP), y: ceil(CI / 2); one invocation per tile and two input channels
// reference: winogradHalvesInputOp in src/kernels/winogradHalves.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> v: array<u32>;
#params
#include winogradPairs
#include halves

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
#include winogradTile
  let isPair = 2u * group.y + 1u < params.channels;
  let base = (image * params.channels + 2u * group.y) * plane;
  let next = base + select(0u, plane, isPair);
  let factor = vec2f(1.0, select(0.0, 1.0, isPair)) / ${SCALE}.0;
#for j in 0..A
  let column${j} = inputTransform(Points(
#for i in 0..A
#if PADDED
    select(vec2f(), vec2f(x[base + y${i} + x${j}], x[next + y${i} + x${j}]), insideY${i} && insideX${j}),
#else
    vec2f(x[base + y${i} + x${j}], x[next + y${i} + x${j}]),
#end
#end i
  ));
#end j
  let at = group.y * ${A * A}u * params.pitch + t;
#for i in 0..A
  let row${i} = inputTransform(Points(
#for j in 0..A
    column${j}.s${i},
#end j
  ));
#for j in 0..A
  v[at + ${i * A + j}u * params.pitch] = halves(factor * row${i}.s${j});
#end j
#end i
}

// Transform of the output gradient for a Winograd weight gradient: M x M tiles of dy are the taps, zero beyond its edges.
//
// dy    [N, CO, OH, OW]
// u     [A * A, ceil(CO / MT), T, MT], T = N * tilesY * tilesX, missing channels zero; FLAT: [CO, A * A, pitch], T of each row used
// grid  x: ceil(T / WORKGROUP), y: ceil(channels of u / CHANNELS); one invocation per tile and CHANNELS channels
// reference: src/kernels/winogradReferences.ts
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> u: array<f32>;
#params
#include winograd

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let t = group.x * ${WORKGROUP}u + local;
  if (t >= params.tiles) {
    return;
  }
  let row = t / params.tilesX;
  let image = row / params.tilesY;
  let top = row % params.tilesY * ${K}u;
  let left = t % params.tilesX * ${K}u;
#for i in 0..K
  let y${i} = min(top + ${i}u, params.height - 1u) * params.width;
  let x${i} = min(left + ${i}u, params.width - 1u);
  let insideY${i} = top + ${i}u < params.height;
  let insideX${i} = left + ${i}u < params.width;
#end i
  let plane = params.height * params.width;
#if FLAT
  let step = params.pitch;
  let last = min((group.y + 1u) * ${CHANNELS}u, params.channels);
#else
  let step = params.channelTiles * params.tiles * ${MT}u;
  let last = (group.y + 1u) * ${CHANNELS}u;
#end
  for (var channel = group.y * ${CHANNELS}u; channel < last; channel++) {
    let base = (image * params.channels + min(channel, params.channels - 1u)) * plane;
    let present = channel < params.channels;
#for j in 0..K
    let column${j} = weightTransform(Taps(
#for i in 0..K
      select(0.0, dy[base + y${i} + x${j}], present && insideY${i} && insideX${j}),
#end i
    ));
#end j
#if FLAT
    let at = channel * ${A * A}u * step + t;
#else
    let at = (channel / ${MT}u * params.tiles + t) * ${MT}u + channel % ${MT}u;
#end
#for i in 0..A
    let row${i} = weightTransform(Taps(
#for j in 0..K
      column${j}.s${i},
#end j
    ));
#for j in 0..A
    u[at + ${i * A + j}u * step] = row${i}.s${j};
#end j
#end i
  }
}

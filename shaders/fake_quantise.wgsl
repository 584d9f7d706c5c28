// Rounds values to what few bits can hold, for training, and the gradients of that. ROLE:
//
//   value      scale * (clamp(round(x / scale - OFFSET), least, most) + OFFSET)
//   inputGrad  dy where x is not clipped, else 0 (straight through)
//   scaleTerm  dy times the derivative with respect to log(scale) (Esser et al. 2020, LSQ), to be summed
//
// x, dy, y   [ROWS * row], one scale for `row` elements in sequence
// logScale   [ROWS]
// grid       one invocation per element, folded
// reference: src/kernels/fakeQuantise.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> logScale: array<f32>;
#if GRADIENT
@group(0) @binding(2) var<storage, read> dy: array<f32>;
#end
@group(0) @binding(${2 + GRADIENT}) var<storage, read_write> y: array<f32>;
#params
#include grid

fn value(i: u32, scale: f32, place: f32, code: f32) -> f32 {
  return scale * (code + params.offset);
}

#if GRADIENT
fn inputGrad(i: u32, scale: f32, place: f32, code: f32) -> f32 {
  return select(0.0, dy[i], place >= params.least && place <= params.most);
}

fn scaleTerm(i: u32, scale: f32, place: f32, code: f32) -> f32 {
  let inside = place >= params.least && place <= params.most;
  return dy[i] * scale * select(code + params.offset, code - place, inside);
}
#end

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = linearIndex(group, count, local);
  if (i < params.size) {
    let scale = exp(logScale[i / params.row]);
    let place = x[i] / scale - params.offset;
    y[i] = ${ROLE}(i, scale, place, clamp(round(place), params.least, params.most));
  }
}

// Rounds values to what few bits can hold, for training, and the gradients of that. ROLE:
//
//   value      scale * (clamp(round(x * (1 / scale) - offset), least, most) + offset)
//   inputGrad  dy where x is not clipped, else 0 (straight through)
//   scaleGrad  dy times the derivative with respect to log(scale) (Esser et al. 2020, LSQ): one sum per invocation
//
// An invocation walks over one row, so that its scale is read once and nothing is divided to find it.
//
// x, dy, y   [ROWS, length], one scale per row; y of scaleGrad [ROWS, gridX * WORKGROUP]
// logScale   [ROWS]
// grid       x: parts of a row, y and z: rows, folded
// reference: src/kernels/fakeQuantize.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> logScale: array<f32>;
#if GRADIENT
@group(0) @binding(2) var<storage, read> dy: array<f32>;
#end
@group(0) @binding(${2 + GRADIENT}) var<storage, read_write> y: array<f32>;
#params

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.z * count.y + group.y;
  if (row >= params.rows) {
    return;
  }
  let scale = exp(logScale[row]);
  // As activations are stored (qstore).
  let reciprocal = 1.0 / scale;
  let first = group.x * ${WORKGROUP}u + local;
  let stride = count.x * ${WORKGROUP}u;
  let base = row * params.length;
#if SUM
  var sum = 0.0;
#end
  for (var at = first; at < params.length; at += stride) {
    let i = base + at;
    let place = x[i] * reciprocal - params.offset;
#if GRADIENT
    let inside = place >= params.least && place <= params.most;
#end
#if SUM
    let code = clamp(round(place), params.least, params.most);
    sum += dy[i] * select(code + params.offset, code - place, inside);
#else
#if GRADIENT
    y[i] = select(0.0, dy[i], inside);
#else
    y[i] = scale * (clamp(round(place), params.least, params.most) + params.offset);
#end
#end
  }
#if SUM
  y[row * stride + first] = scale * sum;
#end
}

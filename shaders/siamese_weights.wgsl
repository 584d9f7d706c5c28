// The last layers of teacher and student as one layer that yields their normalized difference.
//
// wt, bt, mean, std   teacher weights [C, CI, taps], bias, and statistics of its features [C]
// ws, bs              student weights [>= C, CI, taps] and bias
// y                   weights [C, 2 CI, taps] = [wt / std, -ws]; with BIAS [C] = (bt - mean) / std - bs
// grid                one invocation per output, folded
// reference: src/detectorOps/siamese.ts
#if BIAS
@group(0) @binding(0) var<storage, read> bt: array<f32>;
@group(0) @binding(1) var<storage, read> bs: array<f32>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> deviation: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(0) var<storage, read> wt: array<f32>;
@group(0) @binding(1) var<storage, read> ws: array<f32>;
@group(0) @binding(2) var<storage, read> deviation: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#end
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
#if BIAS
  y[index] = (bt[index] - mean[index]) / deviation[index] - bs[index];
#else
  let channel = index / (2u * params.row);
  let at = index % (2u * params.row);
  if (at < params.row) {
    y[index] = wt[channel * params.row + at] / deviation[channel];
  } else {
    y[index] = -ws[channel * params.row + at - params.row];
  }
#end
}

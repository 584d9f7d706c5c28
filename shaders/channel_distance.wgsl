// channelDistance: mean over channels of (a - b)^2, or of a^2 without b.
//
// a, b  [N, C, H, W]
// y     [N, 1, H, W]
// grid  one invocation per output, folded; neighboring invocations read neighboring pixels
// reference: src/kernels/channelDistance.ts
@group(0) @binding(0) var<storage, read> a: array<f32>;
#if TARGET
@group(0) @binding(1) var<storage, read> b: array<f32>;
#end
@group(0) @binding(${1 + TARGET}) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let base = index / params.plane * params.channels * params.plane + index % params.plane;
  var sum = 0.0;
  for (var c = 0u; c < params.channels; c++) {
#if TARGET
    let d = a[base + c * params.plane] - b[base + c * params.plane];
#else
    let d = a[base + c * params.plane];
#end
    sum += d * d;
  }
  y[index] = sum / f32(params.channels);
}

// mapBlur: a separable filter over maps, their border repeated.
//
// x     [..., H, W]       the last maps are filtered, from element params.first on
// taps  [2 RADIUS + 1]    of rows and of columns
// y     [N, 1, H, W]
// grid  one invocation per element, folded
// reference: src/detectorOps/mapFilters.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> taps: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#params
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.size) {
    return;
  }
  let column = i32(index % params.width);
  let row = i32(index / params.width % params.height);
  let base = params.first + index / (params.width * params.height) * params.width * params.height;
  var sum = 0.0;
  for (var i = -${RADIUS}; i <= ${RADIUS}; i++) {
    let line = base + u32(clamp(row + i, 0, i32(params.height) - 1)) * params.width;
    var part = 0.0;
    for (var k = -${RADIUS}; k <= ${RADIUS}; k++) {
      part += taps[k + ${RADIUS}] * x[line + u32(clamp(column + k, 0, i32(params.width) - 1))];
    }
    sum += taps[i + ${RADIUS}] * part;
  }
  y[index] = sum;
}

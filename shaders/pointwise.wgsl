// Pointwise ops: y[i] = f(a[i], b[i], c[i]), chosen by FUNCTION.
//
//   add                    a + b
//   reluGrad               a where b > 0, else 0          (a = dy, b = output of the rectifier)
//   squaredDifference      (a - b)^2
//   squaredDifferenceGrad  2 (a - b) c                    (c = dy)
//   scale                  factor * a
//   broadcast              factor * a[0]                  (a = one scalar)
//
// a, b, c, y  [size]
// grid        one invocation per element, folded
// reference: src/kernels/elementwise.ts
@group(0) @binding(0) var<storage, read> a: array<f32>;
#if INPUTS > 1
@group(0) @binding(1) var<storage, read> b: array<f32>;
#end
#if INPUTS > 2
@group(0) @binding(2) var<storage, read> c: array<f32>;
#end
@group(0) @binding(${INPUTS}) var<storage, read_write> y: array<f32>;
#params
#include grid

#if INPUTS == 2
fn add(i: u32) -> f32 {
  return a[i] + b[i];
}
fn reluGrad(i: u32) -> f32 {
  return select(0.0, a[i], b[i] > 0.0);
}
fn squaredDifference(i: u32) -> f32 {
  let d = a[i] - b[i];
  return d * d;
}
#end
#if INPUTS == 3
fn squaredDifferenceGrad(i: u32) -> f32 {
  return params.factor * (a[i] - b[i]) * c[i];
}
#end
#if INPUTS == 1
fn scale(i: u32) -> f32 {
  return params.factor * a[i];
}
fn broadcast(i: u32) -> f32 {
  return params.factor * a[0];
}
#end

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = linearIndex(group, count, local);
  if (i < params.size) {
    y[i] = ${FUNCTION}(i);
  }
}

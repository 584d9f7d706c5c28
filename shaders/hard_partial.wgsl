// hardStats, first stage: sum and number of the elements at or above their image's threshold, per chunk.
//
// SHARED, for GPUs: a workgroup takes a chunk, and its invocations meet in workgroup memory as a tree; else an invocation takes one.
//
// x          [N, size]
// threshold  [N]
// y          [N, CHUNKS, 2]  sum, count
// grid       one invocation per (image, chunk), folded; SHARED: x: chunks, y: images
// reference: src/detectorOps/hardMean.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> threshold: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#params
#if SHARED
var<workgroup> parts: array<vec2f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let image = group.y;
  let index = image * params.chunks + group.x;
  let first = group.x * 256u + local;
  let stride = params.chunks * 256u;
#else
#include grid

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.images * params.chunks) {
    return;
  }
  let image = index / params.chunks;
  let first = index % params.chunks;
  let stride = params.chunks;
#end
  let limit = threshold[image];
  var sum = 0.0;
  var hits = 0.0;
  for (var i = first; i < params.size; i += stride) {
    let value = x[image * params.size + i];
    if (value >= limit) {
      sum += value;
      hits += 1.0;
    }
  }
#if SHARED
  parts[local] = vec2f(sum, hits);
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      let other = parts[local + half];
      parts[local] = parts[local] + other;
    }
  }
  if (local > 0u) {
    return;
  }
  sum = parts[0].x;
  hits = parts[0].y;
#end
  y[index * 2u] = sum;
  y[index * 2u + 1u] = hits;
}

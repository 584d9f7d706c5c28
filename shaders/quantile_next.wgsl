// quantile, successor pass: the smallest key above the selected one, per chunk (0xffffffff: none).
//
// PARALLEL: a workgroup takes a chunk, and its invocations meet in workgroup memory as a tree; else an invocation takes one.
//
// x      [N, size]
// state  [N, 4] u32
// least  [N, CHUNKS] u32
// grid   one invocation per (image, chunk), folded; PARALLEL: x: chunks, y: images
// reference: src/kernels/quantile.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> least: array<u32>;
#params
#include sortable
#if PARALLEL
var<workgroup> parts: array<u32, 256>;

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
  let selected = state[image * 4u];
  var best = 0xffffffffu;
  for (var i = first; i < params.size; i += stride) {
    let key = sortKey(x[image * params.size + i]);
    if (key > selected) {
      best = min(best, key);
    }
  }
#if PARALLEL
  parts[local] = best;
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      let other = parts[local + half];
      parts[local] = min(parts[local], other);
    }
  }
  if (local > 0u) {
    return;
  }
  best = parts[0];
#end
  least[index] = best;
}

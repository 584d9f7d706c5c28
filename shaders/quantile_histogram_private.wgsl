// quantile, histogram pass, for CPU adapters: every invocation counts its own elements in a private array; no barrier, no
// atomics. Counts the byte at SHIFT of the keys that share the higher bytes found so far.
//
// x          [N, size]
// state      [N, 4] u32: prefix, rank within the prefix, -, -   (absent in the first pass)
// histogram  [N, CHUNKS, 256] u32
// grid       one invocation per (image, chunk), folded
// reference: src/kernels/quantile.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
#if FIRST
@group(0) @binding(1) var<storage, read_write> histogram: array<u32>;
#else
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> histogram: array<u32>;
#end
#params
#include grid
#include sortable

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = linearIndex(group, count, local);
  if (index >= params.images * params.chunks) {
    return;
  }
  let image = index / params.chunks;
  var bins: array<u32, 256>;
#if !FIRST
  let prefix = state[image * 4u];
#end
  for (var i = index % params.chunks; i < params.size; i += params.chunks) {
    let key = sortKey(x[image * params.size + i]);
#if FIRST
    bins[key >> 24u]++;
#else
    if (key >> ${SHIFT + 8}u == prefix >> ${SHIFT + 8}u) {
      bins[(key >> ${SHIFT}u) & 255u]++;
    }
#end
  }
  for (var b = 0u; b < 256u; b++) {
    histogram[index * 256u + b] = bins[b];
  }
}

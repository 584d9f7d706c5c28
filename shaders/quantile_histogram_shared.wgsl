// quantile, histogram pass, for GPUs: one histogram per workgroup in workgroup memory with integer atomics (the counts do not
// depend on the order), written out whole, so that nothing has to be cleared. Counts the byte at SHIFT of the keys that share
// the higher bytes found so far.
//
// x          [N, size]
// state      [N, 4] u32: prefix, rank within the prefix, -, -   (absent in the first pass)
// histogram  [N, CHUNKS, 256] u32
// grid       x: chunks, y: images
// reference: src/kernels/quantile.ts
@group(0) @binding(0) var<storage, read> x: array<f32>;
#if FIRST
@group(0) @binding(1) var<storage, read_write> histogram: array<u32>;
#else
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> histogram: array<u32>;
#end
#params
#include sortable

var<workgroup> bins: array<atomic<u32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let image = group.y;
  atomicStore(&bins[local], 0u);
#if !FIRST
  let prefix = state[image * 4u];
#end
  workgroupBarrier();
  for (var i = group.x * 256u + local; i < params.size; i += params.chunks * 256u) {
    let key = sortKey(x[image * params.size + i]);
#if FIRST
    atomicAdd(&bins[key >> 24u], 1u);
#else
    if (key >> ${SHIFT + 8}u == prefix >> ${SHIFT + 8}u) {
      atomicAdd(&bins[(key >> ${SHIFT}u) & 255u], 1u);
    }
#end
  }
  workgroupBarrier();
  histogram[(image * params.chunks + group.x) * 256u + local] = atomicLoad(&bins[local]);
}

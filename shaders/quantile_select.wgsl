// quantile, selection pass: finds the bin that holds the wanted rank and narrows the prefix by one byte.
//
// histogram  [N, CHUNKS, 256] u32
// before     [N, 4] u32: prefix, rank within the prefix, -, -   (absent in the first pass: rank from the parameters)
// state      [N, 4] u32: prefix, rank within the prefix, elements with the prefix, -
// grid       PARALLEL: one workgroup of 256 per image (a bin per invocation); else one invocation per image
// reference: src/kernels/quantile.ts
@group(0) @binding(0) var<storage, read> histogram: array<u32>;
#if FIRST
@group(0) @binding(1) var<storage, read_write> state: array<u32>;
#else
@group(0) @binding(1) var<storage, read> before: array<u32>;
@group(0) @binding(2) var<storage, read_write> state: array<u32>;
#end
#params

fn binCount(image: u32, bin: u32) -> u32 {
  var sum = 0u;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    sum += histogram[(image * params.chunks + chunk) * 256u + bin];
  }
  return sum;
}

#if PARALLEL
var<workgroup> counts: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let image = group.x;
  counts[local] = binCount(image, local);
  workgroupBarrier();
  if (local > 0u) {
    return;
  }
#else
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) workgroup: vec3u) {
#include workgroup
  let image = group.x;
#end
#if FIRST
  var rank = params.rank;
  var prefix = 0u;
#else
  var rank = before[image * 4u + 1u];
  var prefix = before[image * 4u];
#end
  var bin = 0u;
  var inBin = 0u;
  for (; bin < 256u; bin++) {
#if PARALLEL
    inBin = counts[bin];
#else
    inBin = binCount(image, bin);
#end
    if (rank < inBin) {
      break;
    }
    rank -= inBin;
  }
  state[image * 4u] = prefix | (bin << ${SHIFT}u);
  state[image * 4u + 1u] = rank;
  state[image * 4u + 2u] = inBin;
  state[image * 4u + 3u] = 0u;
}

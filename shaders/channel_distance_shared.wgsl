// channelDistance for GPUs: mean over channels of (a - b)^2, or of a^2 without b.
//
// A workgroup takes WORKGROUP / SLOTS neighboring pixels. SLOTS invocations share the channels of a pixel; their sums meet in
// workgroup memory and are added in a fixed order.
//
// With STANDARDIZED a is standardized while it is read. With STACKED the result is another map, this one and their mean, each
// normalized by its quantiles on normal images. The other one is there already, or with a second set computed here, too.
//
// a0, b0  [N, C, H, W] of this map (b0: TARGET0); a1, b1 those of the other one (two sets)
// mean0, deviation0  [C] (STANDARDIZED0), mean1, deviation1 (STANDARDIZED1)
// other   [N, 1, H, W] (STACKED, one set)
// quantiles [4] q_a and q_b of the other map, then those of this one (STACKED)
// y       [N, 1, H, W]; with STACKED [3, N, 1, H, W]: the other one, this one, the mean
// grid    x: ceil(N * H * W / (WORKGROUP / SLOTS))
// reference: src/kernels/channelDistance.ts
@group(0) @binding(0) var<storage, read> a0: array<f32>;
#if STANDARDIZED0
@group(0) @binding(1) var<storage, read> mean0: array<f32>;
@group(0) @binding(2) var<storage, read> deviation0: array<f32>;
#end
#if TARGET0
@group(0) @binding(${1 + 2 * STANDARDIZED0}) var<storage, read> b0: array<f32>;
#end
#if SETS == 2
@group(0) @binding(${INPUTS0}) var<storage, read> a1: array<f32>;
#if STANDARDIZED1
@group(0) @binding(${INPUTS0 + 1}) var<storage, read> mean1: array<f32>;
@group(0) @binding(${INPUTS0 + 2}) var<storage, read> deviation1: array<f32>;
#end
#if TARGET1
@group(0) @binding(${INPUTS0 + 1 + 2 * STANDARDIZED1}) var<storage, read> b1: array<f32>;
#end
#end
#if STACKED && SETS == 1
@group(0) @binding(${INPUTS0}) var<storage, read> other: array<f32>;
#end
#if STACKED
@group(0) @binding(${INPUTS - 1}) var<storage, read> quantiles: array<f32>;
#end
@group(0) @binding(${INPUTS}) var<storage, read_write> y: array<f32>;
#params

var<workgroup> sums: array<f32, ${WORKGROUP}>;  // [slot][pixel]

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let pixel = group.x * ${WORKGROUP / SLOTS}u + local % ${WORKGROUP / SLOTS}u;
  // Behind the last pixel it is computed again, and not written.
  let index = min(pixel, params.size - 1u);
  let base = index / params.plane * params.channels * params.plane + index % params.plane;
#for s in 0..SETS
  var sum${s} = 0.0;
#end s
  for (var c = local / ${WORKGROUP / SLOTS}u; c < params.channels; c += ${SLOTS}u) {
    let at = base + c * params.plane;
#if STANDARDIZED0
    let v0 = (a0[at] - mean0[c]) / deviation0[c];
#else
    let v0 = a0[at];
#end
#if TARGET0
    let d0 = v0 - b0[at];
#else
    let d0 = v0;
#end
    sum0 += d0 * d0;
#if SETS == 2
#if STANDARDIZED1
    let v1 = (a1[at] - mean1[c]) / deviation1[c];
#else
    let v1 = a1[at];
#end
#if TARGET1
    let d1 = v1 - b1[at];
#else
    let d1 = v1;
#end
    sum1 += d1 * d1;
#end
  }
#for s in 0..SETS
#if s > 0
  workgroupBarrier();
#end
  sums[local] = sum${s};
  workgroupBarrier();
  var total${s} = 0.0;
  if (local < ${WORKGROUP / SLOTS}u && pixel < params.size) {
#for i in 0..SLOTS
    total${s} += sums[${i * WORKGROUP / SLOTS}u + local];
#end i
  }
#end s
  if (local >= ${WORKGROUP / SLOTS}u || pixel >= params.size) {
    return;
  }
  let own = total0 / f32(params.channels);
#if STACKED
#if SETS == 2
  let before = total1 / f32(params.channels);
#else
  let before = other[pixel];
#end
  y[pixel] = before;
  y[params.size + pixel] = own;
  y[2u * params.size + pixel] = params.weight * ((before - quantiles[0]) / (quantiles[1] - quantiles[0]) + (own - quantiles[2]) / (quantiles[3] - quantiles[2]));
#else
  y[pixel] = own;
#end
}

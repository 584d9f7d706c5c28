// channelDistance for GPUs: mean over channels of (a - b)^2, or of a^2 without b.
//
// A workgroup takes WORKGROUP / SLOTS neighbouring pixels. SLOTS invocations share the channels of a pixel; their sums meet in
// workgroup memory and are added in a fixed order.
//
// a, b  [N, C, H, W]
// y     [N, 1, H, W]
// grid  x: ceil(N * H * W / (WORKGROUP / SLOTS))
// reference: src/kernels/maps.ts
@group(0) @binding(0) var<storage, read> a: array<f32>;
#if TARGET
@group(0) @binding(1) var<storage, read> b: array<f32>;
#end
@group(0) @binding(${1 + TARGET}) var<storage, read_write> y: array<f32>;
#params

var<workgroup> sums: array<f32, ${WORKGROUP}>;  // [slot][pixel]

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
#include workgroup
  let pixel = group.x * ${WORKGROUP / SLOTS}u + local % ${WORKGROUP / SLOTS}u;
  // Behind the last pixel it is computed again, and not written.
  let index = min(pixel, params.size - 1u);
  let base = index / params.plane * params.channels * params.plane + index % params.plane;
  var sum = 0.0;
  for (var c = local / ${WORKGROUP / SLOTS}u; c < params.channels; c += ${SLOTS}u) {
#if TARGET
    let d = a[base + c * params.plane] - b[base + c * params.plane];
#else
    let d = a[base + c * params.plane];
#end
    sum += d * d;
  }
  sums[local] = sum;
  workgroupBarrier();
  if (local >= ${WORKGROUP / SLOTS}u || pixel >= params.size) {
    return;
  }
  var total = 0.0;
#for i in 0..SLOTS
  total += sums[${i * WORKGROUP / SLOTS}u + local];
#end
  y[pixel] = total / f32(params.channels);
}

// Range of codes of activations (qstore) from the smallest and largest value, zero included: one subtotal per workgroup in the
// first pass (PARTIAL), the range in the second.
//
// PARTIAL  x [size] -> y [WORKGROUPS, 2]
// else     x [count, 2] -> y (scale, zero point, reciprocal of the scale, largest code)
// grid     PARTIAL: WORKGROUPS, else 1
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params

var<workgroup> least: array<f32, ${WORKGROUP}>;
var<workgroup> most: array<f32, ${WORKGROUP}>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) local: u32) {
  var low = 0.0;
  var high = 0.0;
#if PARTIAL
  for (var i = group.x * ${WORKGROUP}u + local; i < params.size; i += count.x * ${WORKGROUP}u) {
    low = min(low, x[i]);
    high = max(high, x[i]);
  }
#else
  for (var i = local; i < params.size; i += ${WORKGROUP}u) {
    low = min(low, x[2u * i]);
    high = max(high, x[2u * i + 1u]);
  }
#end
  least[local] = low;
  most[local] = high;
  workgroupBarrier();
  if (local == 0u) {
    for (var i = 1u; i < ${WORKGROUP}u; i++) {
      low = min(low, least[i]);
      high = max(high, most[i]);
    }
#if PARTIAL
    y[2u * group.x] = low;
    y[2u * group.x + 1u] = high;
#else
    let span = high - low;
    let isFlat = span < ${SMALLEST_SPAN};
    let reciprocal = select(${MOST}.0 / span, 1.0, isFlat);
    y[0] = select(span / ${MOST}.0, 1.0, isFlat);
    y[1] = clamp(round(-low * reciprocal), 0.0, ${MOST}.0);
    y[2] = reciprocal;
    y[3] = ${MOST}.0;
#end
  }
}

// The power of two that brings the largest weight of a layer into [2^7, 2^8), so that weights, transformed or not, are halves far
// from both ends of their range, and what undoes it together with a scale 2^-SHIFT of the other operand.
//
// w     [SIZE]
// y     [2]: the scale of the weights, the factor of the products
// grid  one workgroup
// reference: halvesScaleOp in src/kernels/halves.ts
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params

var<workgroup> largest: array<f32, ${WORKGROUP}>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) index: u32) {
  var most = 0.0;
  for (var i = index; i < params.size; i += ${WORKGROUP}u) {
    most = max(most, abs(w[i]));
  }
  largest[index] = most;
  workgroupBarrier();
  for (var step = ${WORKGROUP / 2}u; step > 0u; step /= 2u) {
    if (index < step) {
      largest[index] = max(largest[index], largest[index + step]);
    }
    workgroupBarrier();
  }
  if (index == 0u) {
    // By exponents alone, so that both are exact; bounded, so that both are normal numbers.
    let up = clamp(261 - i32(bitcast<u32>(largest[0]) >> 23u), 27, 227);
    y[0] = bitcast<f32>(u32(up) << 23u);
    y[1] = bitcast<f32>(u32(254 - up + ${SHIFT}) << 23u);
  }
}

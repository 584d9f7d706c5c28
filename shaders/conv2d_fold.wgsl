// The sum of a convolution's parts in a fixed order, then its bias and rectifier.
//
// A workgroup is SL slices of 64 / SL outputs. An invocation adds up to PER parts, all of which it loads before the first sum;
// the slices meet in workgroup memory.
//
// x     [SPLITS, N, CO, P]  P = OH * OW
// y     [N, CO, P]
// grid  x: ceil(N * CO * P / (64 / SL))
@group(0) @binding(0) var<storage, read> x: array<f32>;
#if BIAS
@group(0) @binding(1) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(${1 + BIAS}) var<storage, read_write> y: array<f32>;
#params

#if SL > 1
var<workgroup> sums: array<f32, 64>;  // [slice SL][output 64 / SL]
#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
#include workgroup
  let output = group.x * ${64 / SL}u + index % ${64 / SL}u;
  let at = min(output, params.size - 1u);
  let first = index / ${64 / SL}u * ${PER}u;
#for t in 0..PER
  let part${t} = x[min(first + ${t}u, ${SPLITS - 1}u) * params.size + at];
#end t
  var sum = 0.0;
#for t in 0..PER
  sum += select(0.0, part${t}, first + ${t}u < ${SPLITS}u);
#end t
#if SL > 1
  sums[index] = sum;
  workgroupBarrier();
  if (index >= ${64 / SL}u) {
    return;
  }
#for s in 1..SL
  sum += sums[index + ${s * 64 / SL}u];
#end s
#end
  if (output < params.size) {
#if BIAS
    sum += bias[output / params.outPlane % params.outChannels];
#end
#if RELU
    sum = max(sum, 0.0);
#end
    y[output] = sum;
  }
}

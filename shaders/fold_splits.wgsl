// foldSplits: adds partial sums in a fixed order and scales the result.
//
// A workgroup is SL slices of WORKGROUP / SL outputs. An invocation adds up to PER splits; the slices meet in workgroup memory.
//
// x     [SPLITS, size]
// y     [size]
// grid  one invocation per output and slice, folded
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#params

#if SL > 1
var<workgroup> sums: array<f32, ${WORKGROUP}>;  // [slice SL][output WORKGROUP / SL]
#end

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) index: u32) {
  let output = (group.x + group.y * count.x) * ${WORKGROUP / SL}u + index % ${WORKGROUP / SL}u;
  let at = min(output, params.size - 1u);
  let first = index / ${WORKGROUP / SL}u * ${PER}u;
  let last = min(first + ${PER}u, params.splits);
  var sum = 0.0;
  for (var split = first; split < last; split++) {
    sum += x[split * params.size + at];
  }
#if SL > 1
  sums[index] = sum;
  workgroupBarrier();
  if (index >= ${WORKGROUP / SL}u) {
    return;
  }
#for s in 1..SL
  sum += sums[index + ${s * WORKGROUP / SL}u];
#end s
#end
  if (output < params.size) {
    y[output] = params.factor * sum;
  }
}

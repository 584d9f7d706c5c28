// Register-to-register peak of f32 multiply-adds: CHAINS independent sums, nothing is loaded inside the loop.
//
// data  [invocations]
// grid  any number of workgroups
@group(0) @binding(0) var<storage, read_write> data: array<u32>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = f32(data[id.x]);
  let y = x * 0.001 + 0.999;
#for i in 0..CHAINS
  var a${i} = x + ${i}.0;
#end
  for (var k = 0u; k < ${STEPS}u; k++) {
#for r in 0..4
#for i in 0..CHAINS
    a${i} = a${i} * y + x;
#end
#end
  }
  var sum = 0.0;
#for i in 0..CHAINS
  sum += a${i};
#end
  data[id.x] = bitcast<u32>(sum);
}

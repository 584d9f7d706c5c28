// Register-to-register peak of dot4I8Packed: CHAINS independent sums, nothing is loaded inside the loop.
//
// data  [invocations]
// grid  any number of workgroups
@group(0) @binding(0) var<storage, read_write> data: array<u32>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = data[id.x];
#for i in 0..CHAINS
  var a${i} = i32(x) + ${i};
#end i
  for (var k = 0u; k < ${STEPS}u; k++) {
#for r in 0..2, i in 0..CHAINS
    a${i} += dot4I8Packed(x + k, u32(a${i}));
#end r, i
  }
  var sum = 0;
#for i in 0..CHAINS
  sum += a${i};
#end i
  data[id.x] = u32(sum);
}

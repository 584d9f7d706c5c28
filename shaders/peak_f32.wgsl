// Register-to-register peak of f32 multiply-adds: CHAINS independent sums of WIDE elements, nothing is loaded inside the loop.
//
// data  [invocations]
// grid  any number of workgroups
@group(0) @binding(0) var<storage, read_write> data: array<u32>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Bounded, so that the sums stay ordinary numbers however often this runs.
  let x = f32(data[id.x] & 15u) * 0.0625;
  let y = x * 0.001 + 0.998;
#for i in 0..CHAINS
#if WIDE == 4
  var a${i} = vec4f(x, x + 0.25, x + 0.5, x + 0.75) + ${i}.0;
#else
  var a${i} = x + ${i}.0;
#end
#end i
  for (var k = 0u; k < ${STEPS}u; k++) {
#for r in 0..4, i in 0..CHAINS
    a${i} = a${i} * y + x;
#end r, i
  }
  var sum = a0;
#for i in 1..CHAINS
  sum += a${i};
#end i
#if WIDE == 4
  data[id.x] = bitcast<u32>(dot(sum, vec4f(1.0)));
#else
  data[id.x] = bitcast<u32>(sum);
#end
}

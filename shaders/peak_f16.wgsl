// Register-to-register peak of f16 multiply-adds: CHAINS independent sums of WIDE elements, nothing is loaded inside the loop.
//
// data  [invocations]
// grid  any number of workgroups
enable f16;

@group(0) @binding(0) var<storage, read_write> data: array<u32>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Bounded, so that the sums stay ordinary numbers however often this runs.
  let x = f16(f32(data[id.x] & 15u) * 0.0625);
  let y = vec${WIDE}<f16>(x * 0.001h + 0.998h);
  let z = vec${WIDE}<f16>(x);
#for i in 0..CHAINS
  var a${i} = z + ${i}.0h;
#end i
  for (var k = 0u; k < ${STEPS}u; k++) {
#for r in 0..4, i in 0..CHAINS
    a${i} = a${i} * y + z;
#end r, i
  }
  var sum = a0;
#for i in 1..CHAINS
  sum += a${i};
#end i
  data[id.x] = bitcast<u32>(f32(dot(sum, vec${WIDE}<f16>(1.0h))));
}

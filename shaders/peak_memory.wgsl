// Bandwidth: every invocation reads vec4s far apart, neighbors read neighboring ones, so that nothing but memory is waited
// for. Workgroups move on by an odd number of blocks, so that each sees all of the data and none reads what it has read just now.
//
// source       [size] vec4s, a power of two
// destination  the same with WRITES, else [invocations] u32
// grid         any number of workgroups
@group(0) @binding(0) var<storage, read> source: array<vec4u>;
#if WRITES
@group(0) @binding(1) var<storage, read_write> destination: array<vec4u>;
#else
@group(0) @binding(1) var<storage, read_write> destination: array<u32>;
#end

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let advance = (groups.x | 1u) * ${WORKGROUP}u;
  let mask = arrayLength(&source) - 1u;
  var at = id.x;
#if !WRITES
#for i in 0..4
  var sum${i} = vec4u();
#end i
#end
  // One row of workgroups: a number that compilers do not know, so that none unrolls all of the loop.
  let steps = ${STEPS}u * groups.y;
  for (var k = 0u; k < steps; k++) {
#for i in 0..4
    let value${i} = source[(at + ${i}u * advance) & mask];
#end i
#for i in 0..4
#if WRITES
    destination[(at + ${i}u * advance) & mask] = value${i};
#else
    sum${i} += value${i};
#end
#end i
    at += 4u * advance;
  }
#if !WRITES
  let sum = sum0 + sum1 + sum2 + sum3;
  destination[id.x] = sum.x + sum.y + sum.z + sum.w;
#end
}

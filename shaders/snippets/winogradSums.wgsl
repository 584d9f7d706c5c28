// The sums of one point by a subgroup, in a function: acc = u x v over params.depth steps for MT rows of u from uAt on, which lanes
// share, and NT columns of v from at0, ... on. With PAIRS both are words of two signed 16-bit numbers, and sums wrap.
for (var k = 0u; k < params.depth; k++) {
#for h in 0..(MT + S - 1) / S
  let u${h} = u[uAt + ${h * S}u];
#end h
  uAt += ${MT}u;
#for j in 0..NT
  let v${j} = v[at${j}];
  at${j} += params.stepStride;
#end j
#for i in 0..MT
  let b${i} = subgroupBroadcast(u${i / S}, ${i % S}u);
#for j in 0..NT
#if PAIRS
  acc${i}_${j} += ((b${i} << 16u) >> 16u) * ((v${j} << 16u) >> 16u) + (b${i} >> 16u) * (v${j} >> 16u);
#else
  acc${i}_${j} += b${i} * v${j};
#end
#end j
#end i
}

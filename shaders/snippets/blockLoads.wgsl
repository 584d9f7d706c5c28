// What the kernels load that stage blocks of MT channels and NP pixels: weights, and which taps of windows lie inside a plane.

// The vec4 `at` of a block of weights that has `count` of them.
fn loadWeights(block: u32, at: u32, count: u32) -> ${WEIGHTS} {
  return select(${WEIGHTS}(), w[block * count + min(at, count - 1u)], at < count);
}

#if PADDED
// Bit k of a value is set where `first` + k lies within [0, length), for k < taps <= 16.
fn tapsInside(first: vec4i, taps: i32, length: u32) -> vec4u {
  let low = clamp(-first, vec4i(), vec4i(taps));
  let high = clamp(i32(length) - first, vec4i(), vec4i(taps));
  return (vec4u(1u) << vec4u(high)) - (vec4u(1u) << vec4u(low));
}
#end

#include winogradIntegral

fn weightTransform(g: Taps) -> Points {
#if A == 6
#if K == 4
  let even1 = g.s0 + g.s2;
  let odd1 = g.s1 + g.s3;
  let even2 = g.s0 + 4.0 * g.s2;
  let odd2 = 2.0 * g.s1 + 8.0 * g.s3;
#else
  let even1 = g.s0 + g.s2;
  let odd1 = g.s1;
  let even2 = g.s0 + 4.0 * g.s2;
  let odd2 = 2.0 * g.s1;
#end
  return Points(0.25 * g.s0, (even1 + odd1) * (-1.0 / 6.0), (even1 - odd1) * (-1.0 / 6.0),
    (even2 + odd2) * (1.0 / 24.0), (even2 - odd2) * (1.0 / 24.0), g.s${K - 1});
#end
#if A == 5
  return Points(0.5 * g.s0, -0.5 * (g.s0 + g.s1 + g.s2 + g.s3), (g.s0 - g.s1 + g.s2 - g.s3) * (-1.0 / 6.0),
    (g.s0 + 2.0 * g.s1 + 4.0 * g.s2 + 8.0 * g.s3) * (1.0 / 6.0), g.s3);
#end
#if A == 4
  let even = 0.5 * (g.s0 + g.s2);
  return Points(-g.s0, even + 0.5 * g.s1, even - 0.5 * g.s1, g.s2);
#end
}

// Winograd's transforms in integers modulo 2^32. Rows of the weights' transform are multiplied by the product of the differences
// of their point to the others, columns of the outputs' by what is left of the common factor SCALE: 24, 6 or 2 for A = 6, 5 or
// 4. Two-dimensional outputs are SCALE^2 times the sums of products. A value may be two, a + 2^16 b, until outputs are made.
alias Value = i32;
#include winogradIntegral

fn weightTransform(g: Taps) -> Points {
#if A == 6
#if K == 4
  let even1 = g.s0 + g.s2;
  let odd1 = g.s1 + g.s3;
  let even2 = g.s0 + 4 * g.s2;
  let odd2 = 2 * g.s1 + 8 * g.s3;
#else
  let even1 = g.s0 + g.s2;
  let odd1 = g.s1;
  let even2 = g.s0 + 4 * g.s2;
  let odd2 = 2 * g.s1;
#end
  return Points(g.s0, even1 + odd1, even1 - odd1, even2 + odd2, even2 - odd2, g.s${K - 1});
#end
#if A == 5
  let even = g.s0 + g.s2;
  let odd = g.s1 + g.s3;
  return Points(g.s0, even + odd, even - odd, g.s0 + 2 * g.s1 + 4 * g.s2 + 8 * g.s3, g.s3);
#end
#if A == 4
  let even = g.s0 + g.s2;
  return Points(g.s0, even + g.s1, even - g.s1, g.s2);
#end
}

fn scaledOutputTransform(m: Points) -> Outputs {
#if A == 6
  return outputTransform(Points(6 * m.s0, -4 * m.s1, -4 * m.s2, m.s3, m.s4, 24 * m.s5));
#end
#if A == 5
  return outputTransform(Points(3 * m.s0, -3 * m.s1, -m.s2, m.s3, 6 * m.s4));
#end
#if A == 4
  return outputTransform(Points(-2 * m.s0, m.s1, m.s2, 2 * m.s3));
#end
}

// Two numbers a + 2^16 b as 16-bit halves of a word.
fn halvesOf(pair: i32) -> i32 {
  return pair + ((pair & 0x8000) << 1u);
}

// SCALE^2 times a sum of products -> the sum: the odd factor 9 is divided by exactly, by its inverse modulo 2^32.
fn unscaled(sum: i32) -> i32 {
#if A == 6
  return (sum * 954437177) >> 6u;
#end
#if A == 5
  return (sum * 954437177) >> 2u;
#end
#if A == 4
  return sum >> 2u;
#end
}

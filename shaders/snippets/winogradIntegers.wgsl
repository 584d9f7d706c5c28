// One-dimensional transforms of Winograd's minimal filtering F(M, K) in A = M + K - 1 points, in integers modulo 2^32. With the
// points 0, 1, -1, 2, -1/2, infinity (A = 6), 0, 1, -1, 2, infinity (A = 5) or 0, 1, -1, infinity (A = 4):
//   S outputs = outputTransform(inputTransform(d) * weightTransform(g)), for A inputs d and K taps g, S = 30, 6 or 2.
// All are linear, so a number may be two at once, a + 2^16 b.

struct Points {
#for i in 0..A
  s${i}: i32,
#end i
}

struct Taps {
#for i in 0..K
  s${i}: i32,
#end i
}

struct Outputs {
#for i in 0..M
  s${i}: i32,
#end i
}

fn inputTransform(d: Points) -> Points {
#if A == 6
  let even = d.s4 - d.s2;
  let odd = d.s3 - d.s1;
  return Points(2 * (even + d.s0 - d.s2) - 3 * odd, 2 * even - odd - 3 * (d.s1 + d.s2), 2 * (even - odd) + 3 * (d.s2 - d.s3),
    2 * even + odd, even - 2 * odd, 2 * (d.s5 - d.s3 - odd) - 3 * even);
#end
#if A == 5
  let odd = d.s3 - d.s1;
  return Points(2 * (d.s0 - d.s2) + odd, d.s3 - d.s2 - 2 * d.s1, d.s3 - 3 * d.s2 + 2 * d.s1, odd,
    d.s4 - d.s2 - 2 * odd);
#end
#if A == 4
  return Points(d.s2 - d.s0, d.s2 + d.s1, d.s2 - d.s1, d.s3 - d.s1);
#end
}

fn weightTransform(g: Taps) -> Points {
#if K == 4
  let even = g.s0 + g.s2;
  let odd = g.s1 + g.s3;
  let two = g.s0 + 2 * g.s1 + 4 * g.s2 + 8 * g.s3;
#else
  let even = g.s0 + g.s2;
  let odd = g.s1;
  let two = g.s0 + 2 * g.s1 + 4 * g.s2;
#end
#if A == 6
#if K == 4
  let half = 8 * g.s0 - 4 * g.s1 + 2 * g.s2 - g.s3;
#else
  let half = 4 * g.s0 - 2 * g.s1 + g.s2;
#end
  return Points(g.s0, even + odd, even - odd, two, half, g.s${K - 1});
#end
#if A == 5
  return Points(g.s0, even + odd, even - odd, two, g.s${K - 1});
#end
#if A == 4
  return Points(g.s0, even + odd, even - odd, g.s${K - 1});
#end
}

fn outputTransform(m: Points) -> Outputs {
#if A == 6
  let even = 5 * (m.s2 - m.s1);
  let odd = -5 * (m.s2 + m.s1);
#if M == 4
  return Outputs(15 * m.s0 + even + m.s3 - 8 * m.s4, odd + 2 * m.s3 + 4 * m.s4, even + 4 * m.s3 - 2 * m.s4,
    odd + 8 * m.s3 + m.s4 + 15 * m.s5);
#else
  return Outputs(15 * m.s0 + even + m.s3 - 4 * m.s4, odd + 2 * (m.s3 + m.s4), even + 4 * m.s3 - m.s4 + 15 * m.s5);
#end
#end
#if A == 5
  return Outputs(3 * (m.s0 - m.s1) - m.s2 + m.s3, m.s2 - 3 * m.s1 + 2 * m.s3 + 6 * m.s4);
#end
#if A == 4
  return Outputs(m.s1 + m.s2 - 2 * m.s0, m.s1 - m.s2 + 2 * m.s3);
#end
}

// What a product at one point counts for in each of the outputs.
fn outputsOf(point: u32) -> vec4i {
#if A == 6
#if M == 4
  return array(vec4i(15, 0, 0, 0), vec4i(-5), vec4i(5, -5, 5, -5), vec4i(1, 2, 4, 8), vec4i(-8, 4, -2, 1),
    vec4i(0, 0, 0, 15))[point];
#else
  return array(vec4i(15, 0, 0, 0), vec4i(-5), vec4i(5, -5, 5, 0), vec4i(1, 2, 4, 0), vec4i(-4, 2, -1, 0),
    vec4i(0, 0, 15, 0))[point];
#end
#end
#if A == 5
  return array(vec4i(3, 0, 0, 0), vec4i(-3), vec4i(-1, 1, 0, 0), vec4i(1, 2, 0, 0), vec4i(0, 6, 0, 0))[point];
#end
#if A == 4
  return array(vec4i(-2, 0, 0, 0), vec4i(1), vec4i(1, -1, 0, 0), vec4i(0, 2, 0, 0))[point];
#end
}

// S^2 times a sum of products -> the sum: the odd factor 225 or 9 is divided by exactly, by its inverse modulo 2^32.
fn unscaled(sum: i32) -> i32 {
#if A == 6
  return (sum * -2023406815) >> 2u;
#end
#if A == 5
  return (sum * 954437177) >> 2u;
#end
#if A == 4
  return sum >> 2u;
#end
}

// Two numbers a + 2^16 b as 16-bit halves of a word.
fn halvesOf(pair: i32) -> i32 {
  return pair + ((pair & 0x8000) << 1u);
}

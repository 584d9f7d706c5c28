// One-dimensional transforms of Winograd's minimal filtering F(M, K) in A = M + K - 1 points. With the points
// 0, 1, -1, 2, -2, infinity (A = 6), 0, 1, -1, 2, infinity (A = 5) or 0, 1, -1, infinity (A = 4):
//   outputs = outputTransform(inputTransform(d) * weightTransform(g)), for A inputs d and K taps g.

struct Points {
#for i in 0..A
  s${i}: Value,
#end i
}

struct Taps {
#for i in 0..K
  s${i}: Value,
#end i
}

struct Outputs {
#for i in 0..M
  s${i}: Value,
#end i
}

fn inputTransform(d: Points) -> Points {
#if A == 6
  let even1 = d.s4 - 4.0 * d.s2;
  let odd1 = d.s3 - 4.0 * d.s1;
  let even2 = d.s4 - d.s2;
  let odd2 = 2.0 * (d.s3 - d.s1);
  return Points(4.0 * d.s0 - 5.0 * d.s2 + d.s4, even1 + odd1, even1 - odd1, even2 + odd2, even2 - odd2,
    4.0 * d.s1 - 5.0 * d.s3 + d.s5);
#end
#if A == 5
  let odd = d.s3 - d.s1;
  return Points(2.0 * (d.s0 - d.s2) + odd, d.s3 - d.s2 - 2.0 * d.s1, d.s3 - 3.0 * d.s2 + 2.0 * d.s1, odd,
    d.s4 - d.s2 - 2.0 * odd);
#end
#if A == 4
  return Points(d.s2 - d.s0, d.s2 + d.s1, d.s2 - d.s1, d.s3 - d.s1);
#end
}

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

fn outputTransform(m: Points) -> Outputs {
#if A == 6
  let even1 = m.s1 + m.s2;
  let odd1 = m.s1 - m.s2;
  let even2 = m.s3 + m.s4;
  let odd2 = m.s3 - m.s4;
#if M == 4
  return Outputs(m.s0 + even1 + even2, odd1 + 2.0 * odd2, even1 + 4.0 * even2, odd1 + 8.0 * odd2 + m.s5);
#else
  return Outputs(m.s0 + even1 + even2, odd1 + 2.0 * odd2, even1 + 4.0 * even2 + m.s5);
#end
#end
#if A == 5
  return Outputs(m.s0 + m.s1 + m.s2 + m.s3, m.s1 - m.s2 + 2.0 * m.s3 + m.s4);
#end
#if A == 4
  return Outputs(m.s0 + m.s1 + m.s2, m.s1 - m.s2 + m.s3);
#end
}

// What a product at one point counts for in each of the outputs.
fn outputsOf(point: u32) -> vec4f {
#if A == 6
  return array(vec4f(1.0, 0.0, 0.0, 0.0), vec4f(1.0), vec4f(1.0, -1.0, 1.0, -1.0), vec4f(1.0, 2.0, 4.0, 8.0),
    vec4f(1.0, -2.0, 4.0, -8.0), vec4f(0.0, 0.0, f32(${M == 3}), f32(${M == 4})))[point];
#end
#if A == 5
  return array(vec4f(1.0, 0.0, 0.0, 0.0), vec4f(1.0), vec4f(1.0, -1.0, 1.0, -1.0), vec4f(1.0, 2.0, 4.0, 8.0),
    vec4f(0.0, f32(${M == 2}), 0.0, f32(${M == 4})))[point];
#end
#if A == 4
  return array(vec4f(1.0, 0.0, 0.0, 0.0), vec4f(1.0), vec4f(1.0, -1.0, 1.0, -1.0),
    vec4f(0.0, f32(${M == 2}), f32(${M == 3}), 0.0))[point];
#end
}

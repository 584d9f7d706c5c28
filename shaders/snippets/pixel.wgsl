// A pixel is one word, bytes R, G, B, A from the lowest; colors in [0, 1].
fn pixelColor(word: u32) -> vec3f {
  return vec3f(f32(word & 255u), f32((word >> 8u) & 255u), f32((word >> 16u) & 255u)) / 255.0;
}
fn lumaOf(color: vec3f) -> f32 {
  return dot(color, vec3f(0.299, 0.587, 0.114));
}

// Storage of activations. f32: [N, C, H, W]; f16: pairs of channels in a word [N, ceil(C / 2), H, W]; u8: four channels in
// a word [N, ceil(C / 4), H, W], code = round(value / scale) + zero point.

// Code of a value; scale in range.x, zero point in range.y.
fn codeOf(value: f32, range: vec2f) -> u32 {
  return u32(clamp(round(value / range.x) + range.y, 0.0, 255.0));
}

fn codesOf(values: vec4f, range: vec2f) -> u32 {
  return codeOf(values.x, range) | (codeOf(values.y, range) << 8u) | (codeOf(values.z, range) << 16u) | (codeOf(values.w, range) << 24u);
}

// Storage of activations. f32: [N, C, H, W]; f16: pairs of channels in a word [N, ceil(C / 2), H, W]; u8: four channels in
// a word [N, ceil(C / 4), H, W], code = round(value * reciprocal of the scale) + zero point; u4: eight in a word, [N, ceil(C / 8), H, W],
// the codes of the first four in the low halves of its bytes, those of the others in the high halves.

// Code of a value; a range is (scale, zero point, reciprocal of the scale, largest code). Division may be off by 2.5 units in the last
// place, multiplication is exactly rounded: codes are the same on every device.
fn codeOf(value: f32, range: vec4f) -> u32 {
  return u32(clamp(round(value * range.z) + range.y, 0.0, range.w));
}

fn codesOf(values: vec4f, range: vec4f) -> u32 {
  return codeOf(values.x, range) | (codeOf(values.y, range) << 8u) | (codeOf(values.z, range) << 16u) | (codeOf(values.w, range) << 24u);
}

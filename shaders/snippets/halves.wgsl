// Two numbers as halves in a word. What is too large becomes the largest half, so that no infinity arises.
fn halves(values: vec2f) -> u32 {
  return pack2x16float(clamp(values, vec2f(-65504.0), vec2f(65504.0)));
}

// Sum of the products of four signed bytes.
fn dot4(a: u32, b: u32) -> i32 {
#if PACKED_DOT
  return dot4I8Packed(a, b);
#else
  let p = vec4i(extractBits(i32(a), 0u, 8u), extractBits(i32(a), 8u, 8u), extractBits(i32(a), 16u, 8u), i32(a) >> 24u);
  let q = vec4i(extractBits(i32(b), 0u, 8u), extractBits(i32(b), 8u, 8u), extractBits(i32(b), 16u, 8u), i32(b) >> 24u);
  return dot(p, q);
#end
}

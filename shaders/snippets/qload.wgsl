// Codes of input channels 4 c .. 4 c + 3 as the bytes of a word, of x in planes of so many words; `at` is a place of the first plane.
fn codeWord(at: u32, c: u32, plane: u32) -> u32 {
#if U4
  return (x[at + c / 2u * plane] >> (c % 2u * 4u)) & 0x0f0f0f0fu;
#else
  return x[at + c * plane];
#end
}

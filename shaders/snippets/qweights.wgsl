// Quantized weights: blocks of 8 output channels x 4 input channels, 32 codes in BITS words, channel i's four codes in the
// bits from 4 * BITS * i on, two's complement. 2 bits stand for the odd numbers -3, -1, 1, 3.

// The 4 * BITS bits of channel i of a block, in the low bits of a word; what is above them is undefined.
fn weightBits(block: u32, i: u32) -> u32 {
  let bit = i * ${4 * BITS}u;
  let at = block * ${BITS}u + bit / 32u;
#if BITS == 3 || BITS == 5 || BITS == 6 || BITS == 7
  let shift = bit % 32u;
  return (w[at] >> shift) | select(0u, w[at + 1u] << ((32u - shift) % 32u), shift != 0u);
#else
  return w[at] >> (bit % 32u);
#end
}

// The four weights of weightBits as numbers.
fn weightCodes(bits: u32) -> vec4i {
  let q = i32(bits);
  let codes = vec4i(extractBits(q, 0u, ${BITS}u), extractBits(q, ${BITS}u, ${BITS}u), extractBits(q, ${2 * BITS}u, ${BITS}u), extractBits(q, ${3 * BITS}u, ${BITS}u));
#if BITS == 2
  return 2 * codes + 1;
#else
  return codes;
#end
}

// The same as four signed bytes of one word, left-justified: 2^(8 - BITS) times their value, 2^5 times for 2 bits.
fn weightBytes(bits: u32) -> u32 {
#if BITS == 8
  return bits;
#else
  let bytes = ((bits << ${8 - BITS}u) & ${JUSTIFIED}u)
    | ((bits << ${16 - 2 * BITS}u) & ${JUSTIFIED * 256}u)
    | ((bits << ${24 - 3 * BITS}u) & ${JUSTIFIED * 65536}u)
    | ((bits << ${32 - 4 * BITS}u) & ${JUSTIFIED * 16777216}u);
#if BITS == 2
  return bytes | 0x20202020u;
#else
  return bytes;
#end
#end
}

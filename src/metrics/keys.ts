/** Bits per pass of the radix sort: three passes cover 32. */
const RADIX_BITS = 11;
const RADIX = 2 ** RADIX_BITS;

/** A word whose ascending order is the descending order of finite scores. Both zeros are equal. */
export function descendingKeys(scores: Float32Array): Uint32Array {
  const keys = new Uint32Array(scores.length);
  const words = new Uint32Array(scores.buffer, scores.byteOffset, scores.length);
  for (let i = 0; i < keys.length; i++) {
    const word = words[i]! === 0x80000000 ? 0 : words[i]!;
    // The sign bit turns the order of the magnitude round.
    keys[i] = word >>> 31 ? word : ~(word | 0x80000000);
  }
  return keys;
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The score of a key of {@link descendingKeys}. */
export function scoreOfKey(key: number): number {
  word[0] = key >>> 31 ? key : ~key & 0x7fffffff;
  return float[0]!;
}

/** Sorts keys with their labels, in linear time. Both arrays are overwritten. */
export function sortKeys(keys: Uint32Array, labels: Uint32Array): { keys: Uint32Array; labels: Uint32Array } {
  let from = keys;
  let to: Uint32Array = new Uint32Array(keys.length);
  let given = labels;
  let moved: Uint32Array = new Uint32Array(keys.length);
  for (let shift = 0; shift < 32; shift += RADIX_BITS) {
    const places = startsOf(from, shift);
    for (let i = 0; i < from.length; i++) {
      const key = from[i]!;
      const at = places[(key >>> shift) & (RADIX - 1)]!++;
      to[at] = key;
      moved[at] = given[i]!;
    }
    [from, to] = [to, from];
    [given, moved] = [moved, given];
  }
  return { keys: from, labels: given };
}

/** Sorts keys in place. @param scratch of the same length, overwritten */
export function sortKeysInPlace(keys: Uint32Array, scratch: Uint32Array): void {
  let [from, to] = [keys, scratch];
  for (let shift = 0; shift < 32; shift += RADIX_BITS) {
    const places = startsOf(from, shift);
    for (let i = 0; i < from.length; i++) {
      const key = from[i]!;
      to[places[(key >>> shift) & (RADIX - 1)]!++] = key;
    }
    [from, to] = [to, from];
  }
  if (from !== keys) keys.set(from);
}

/** Where the keys of each digit begin. */
function startsOf(keys: Uint32Array, shift: number): Uint32Array {
  const starts = new Uint32Array(RADIX);
  for (let i = 0; i < keys.length; i++) starts[(keys[i]! >>> shift) & (RADIX - 1)]!++;
  let sum = 0;
  for (let digit = 0; digit < RADIX; digit++) {
    const count = starts[digit]!;
    starts[digit] = sum;
    sum += count;
  }
  return starts;
}

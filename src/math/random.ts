/** Seeded stream of random numbers (xoshiro128**), equal on every machine. Not for secrets. */
export class Random {
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    // The generator must not start from zeros, and near seeds have to give unrelated streams.
    let key = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      key = (key + 0x9e3779b9) >>> 0;
      let word = Math.imul(key ^ (key >>> 16), 0x21f0aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
      this.#state[i] = word ^ (word >>> 15);
    }
  }

  /** 32 random bits. */
  nextU32(): number {
    const s = this.#state;
    const result = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = rotate(s[3]!, 11);
    return result;
  }

  /** Uniform in [0, 1), 32 bits. */
  uniform(): number {
    return this.nextU32() / 2 ** 32;
  }

  /** A whole number from 0 to below `count`. */
  integer(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** A permutation of 0..count-1 (Fisher-Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

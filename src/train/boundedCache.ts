/** Host memory for what training looks at again and again, by default. */
export const CACHE_BYTES = 2 ** 30;

/** Keeps values of known size as long as they fit in a number of bytes; what does not fit is made again. */
export class BoundedCache<V extends { readonly byteLength: number }> {
  readonly #values = new Map<number, V>();
  readonly #budget: { bytes: number };

  constructor(budget: { bytes: number }) {
    this.#budget = budget;
  }

  async get(key: number, make: () => Promise<V>): Promise<V> {
    const known = this.#values.get(key);
    if (known) return known;
    const value = await make();
    if (this.#budget.bytes >= value.byteLength) {
      this.#budget.bytes -= value.byteLength;
      this.#values.set(key, value);
    }
    return value;
  }
}

/** A few values by key; the least recently used one is disposed of when there are too many. */
export class Lru<V> {
  readonly #limit: number;
  readonly #dispose: (value: V) => void;
  readonly #entries = new Map<string, Promise<V>>();

  constructor(limit: number, dispose: (value: V) => void) {
    this.#limit = limit;
    this.#dispose = dispose;
  }

  get(key: string, make: () => Promise<V>): Promise<V> {
    const known = this.#entries.get(key);
    this.#entries.delete(key);
    const value = known ?? make();
    this.#entries.set(key, value);
    if (!known) value.catch(() => this.#entries.delete(key));
    if (this.#entries.size > this.#limit) {
      const [oldest, evicted] = this.#entries.entries().next().value!;
      this.#entries.delete(oldest);
      evicted.then(this.#dispose, () => {});
    }
    return value;
  }

  clear(): void {
    for (const entry of this.#entries.values()) entry.then(this.#dispose, () => {});
    this.#entries.clear();
  }
}

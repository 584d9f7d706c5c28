import { DestroyedError } from './errors.ts';

/** A value in use: it stays until it has been released by everybody. */
export interface Lease<V> {
  readonly value: V;
  /** May be called more than once. */
  release(): void;
}

interface Entry<V> {
  readonly value: Promise<V>;
  /** Once it has been made. */
  made?: { readonly value: V };
  users: number;
  /** No longer found by its key. */
  isGone: boolean;
}

/**
 * Values by key, made on first use. At most `limit` of those that nobody uses are kept: the one not used for longest is disposed
 * of first.
 */
export class Leases<V> {
  readonly #what: string;
  readonly #limit: number;
  readonly #dispose: (value: V) => void;
  readonly #entries = new Map<string, Entry<V>>();
  #destroyed = false;

  /** @param what the owner, for the error of a use after {@link destroy} */
  constructor(what: string, limit: number, dispose: (value: V) => void) {
    this.#what = what;
    this.#limit = limit;
    this.#dispose = dispose;
  }

  /** @throws DestroyedError after {@link destroy}, or when that comes while the value is made */
  async lease(key: string, make: () => Promise<V>): Promise<Lease<V>> {
    this.assertUsable();
    const known = this.#entries.get(key);
    const entry: Entry<V> = known ?? { value: make(), users: 0, isGone: false };
    entry.users++;
    this.#touch(key, entry);
    let value: V;
    try {
      value = await entry.value;
      entry.made = { value };
    } catch (error) {
      entry.users--;
      entry.isGone = true;
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      entry.users--;
      if (entry.users === 0 && entry.isGone) this.#dispose(value);
      if (entry.isGone) return;
      this.#touch(key, entry);
      this.#trim();
    };
    if (this.#destroyed) {
      release();
      this.assertUsable();
    }
    return { value, release };
  }

  /** @throws DestroyedError after {@link destroy} */
  assertUsable(): void {
    if (this.#destroyed) throw new DestroyedError(`this ${this.#what} has been destroyed.`);
  }

  /** Disposes of what nobody uses now, and of the rest once it has been released. */
  destroy(): void {
    this.#destroyed = true;
    for (const key of [...this.#entries.keys()]) this.#remove(key);
  }

  /** Behind all others: the first is the one not used for longest. */
  #touch(key: string, entry: Entry<V>): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
  }

  #trim(): void {
    const idle = [...this.#entries].filter(([, { users }]) => users === 0);
    for (const [key] of idle.slice(0, Math.max(0, idle.length - this.#limit))) this.#remove(key);
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key)!;
    this.#entries.delete(key);
    entry.isGone = true;
    // While it is made, whoever waits for it is a user.
    if (entry.users === 0 && entry.made) this.#dispose(entry.made.value);
  }
}

/** A tensor's life: written by step `from`, last read by step `to` (inclusive). */
export interface Lifetime {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
  /** Indices (into the same list) of the earlier tensors that a step reads while it writes this one, or the reverse. */
  readonly conflicts: readonly number[];
}

export interface Placement {
  readonly slab: number;
  readonly offset: number;
}

export interface MemoryPlan {
  readonly placements: readonly Placement[];
  readonly slabBytes: readonly number[];
}

/**
 * Lays tensors out in a few large buffers ("slabs") so that lives that do not overlap share bytes. WebGPU rejects a
 * dispatch that binds ranges of one buffer both as read and as read-write, so a tensor never lies in the slab of
 * something that is read by the dispatch that writes it.
 *
 * @param lifetimes in the order of `from`
 * @param alignment of offsets (`minStorageBufferOffsetAlignment`)
 * @param maxSlabBytes `maxBufferSize`
 */
export function planMemory(lifetimes: readonly Lifetime[], alignment: number, maxSlabBytes: number): MemoryPlan {
  const slabs: { bytes: number; live: { offset: number; end: number; to: number }[] }[] = [];
  const placements: Placement[] = [];
  for (const tensor of lifetimes) {
    const bytes = Math.ceil(tensor.bytes / alignment) * alignment;
    const forbidden = new Set(tensor.conflicts.map((index) => placements[index]!.slab));
    let best: { slab: number; offset: number; growth: number } | undefined;
    for (let s = 0; s < slabs.length; s++) {
      if (forbidden.has(s)) continue;
      const slab = slabs[s]!;
      slab.live = slab.live.filter((other) => other.to >= tensor.from);
      const offset = firstGap(slab.live, bytes);
      const growth = Math.max(0, offset + bytes - slab.bytes);
      if (offset + bytes > maxSlabBytes) continue;
      if (!best || growth < best.growth) best = { slab: s, offset, growth };
    }
    if (!best) {
      best = { slab: slabs.length, offset: 0, growth: bytes };
      slabs.push({ bytes: 0, live: [] });
    }
    const slab = slabs[best.slab]!;
    slab.bytes = Math.max(slab.bytes, best.offset + bytes);
    slab.live.push({ offset: best.offset, end: best.offset + bytes, to: tensor.to });
    placements.push({ slab: best.slab, offset: best.offset });
  }
  return { placements, slabBytes: slabs.map((slab) => slab.bytes) };
}

/** Smallest gap between live ranges that holds `bytes`; the end when there is none. */
function firstGap(live: { offset: number; end: number }[], bytes: number): number {
  live.sort((a, b) => a.offset - b.offset);
  let best: { offset: number; waste: number } | undefined;
  let cursor = 0;
  for (const range of live) {
    const gap = range.offset - cursor;
    if (gap >= bytes && (!best || gap - bytes < best.waste)) best = { offset: cursor, waste: gap - bytes };
    cursor = Math.max(cursor, range.end);
  }
  return best ? best.offset : cursor;
}

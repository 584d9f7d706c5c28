import type { Caps } from './caps.ts';
import { adapterIdentity, Tuning } from './tuning.ts';

interface ShippedTable {
  /** Subgroup size of the driver that was measured. */
  readonly lanes: number;
  load(): Promise<{ readonly default: { readonly choices: Readonly<Record<string, string>> } }>;
}

/** Loaded where they fit. */
const SHIPPED: Partial<Record<Caps['kind'], ShippedTable>> = {
  lavapipe: { lanes: 8, load: () => import('../tuning/lavapipe.json', { with: { type: 'json' } }) },
  swiftshader: { lanes: 4, load: () => import('../tuning/swiftshader.json', { with: { type: 'json' } }) },
};

/**
 * The choices that the package brings: measured ones for the software drivers of the same subgroup size, none for GPUs, where
 * the defaults of the ops are the portable choices (blocks by what the device can hold, no Winograd weight gradients).
 */
export async function shippedTuning(caps: Caps): Promise<Tuning> {
  const { lanes, load } = SHIPPED[caps.kind] ?? {};
  const fits = caps.subgroups && caps.subgroupMaxSize === lanes;
  return new Tuning(adapterIdentity(caps), fits && load ? Object.entries((await load()).default.choices) : []);
}

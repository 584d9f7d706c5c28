import lavapipe from '../tuning/lavapipe.json' with { type: 'json' };
import swiftshader from '../tuning/swiftshader.json' with { type: 'json' };
import type { Caps } from './caps.ts';
import { adapterIdentity, Tuning } from './tuning.ts';

/**
 * The choices that the package brings: measured ones for the software drivers of the same subgroup size, none for GPUs, where
 * the defaults of the ops are the portable choices (blocks by what the device can hold, no Winograd weight gradients).
 */
export function shippedTuning(caps: Caps): Tuning {
  const tables: Partial<
    Record<Caps['kind'], { readonly choices: Readonly<Record<string, string>>; readonly lanes: number }>
  > = {
    lavapipe: { choices: lavapipe.choices, lanes: 8 },
    swiftshader: { choices: swiftshader.choices, lanes: 4 },
  };
  const table = tables[caps.kind];
  const fits = table && caps.subgroups && caps.subgroupMaxSize === table.lanes;
  return new Tuning(adapterIdentity(caps), fits ? Object.entries(table.choices) : []);
}

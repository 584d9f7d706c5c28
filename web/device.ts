import { openBrowserDevice } from '../src/browser/device.ts';
import { Engine } from '../src/engine/engine.ts';
import { adapterIdentity } from '../src/engine/tuning.ts';
import { byId } from './dom.ts';

let opened: Promise<Engine> | undefined;
let excluded: ReadonlySet<string> = new Set();

/** The page's engine: opened when it is first needed, and anew after its device was lost. @throws UserError */
export function engine(): Promise<Engine> {
  if (!opened) {
    const opening = open();
    opened = opening;
    opening.then(
      ({ lost }) => lost.then(() => forget(opening)),
      () => forget(opening),
    );
  }
  return opened;
}

/** From now on these variants are not used. @see DoctorReport.excluded */
export async function exclude(variants: readonly string[]): Promise<void> {
  if (variants.length === excluded.size && variants.every((variant) => excluded.has(variant))) return;
  excluded = new Set(variants);
  const before = opened;
  opened = undefined;
  (await before)?.device.destroy();
}

function forget(opening: Promise<Engine>): void {
  if (opened === opening) opened = undefined;
}

async function open(): Promise<Engine> {
  const made = new Engine({ device: await openBrowserDevice(), excluded });
  byId('adapter', HTMLElement).textContent = `Adapter: ${adapterIdentity(made.caps)}`;
  return made;
}

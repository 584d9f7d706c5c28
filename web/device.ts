import { openBrowserDevice } from '../src/browser/device.ts';
import { Engine } from '../src/engine/engine.ts';
import { adapterIdentity } from '../src/engine/tuning.ts';
import { byId } from './dom.ts';

/** How long a browser may take to have an adapter again after its GPU process ended, and how often it is asked, in milliseconds. */
const PATIENCE = 5000;
const PAUSE = 100;

let opened: Promise<Engine> | undefined;
let wasLost = false;
let excluded: ReadonlySet<string> = new Set();

/** The page's engine: opened when it is first needed, and anew after its device was lost. @throws UserError */
export function engine(): Promise<Engine> {
  if (!opened) {
    const opening = open();
    opened = opening;
    opening.then(
      ({ lost }) =>
        lost.then(() => {
          wasLost = true;
          forget(opening);
        }),
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
  const made = new Engine({ device: await openDevice(), excluded });
  byId('adapter', HTMLElement).textContent = `Adapter: ${adapterIdentity(made.caps)}`;
  return made;
}

async function openDevice(): Promise<GPUDevice> {
  const until = performance.now() + (wasLost ? PATIENCE : 0);
  for (;;) {
    try {
      return await openBrowserDevice();
    } catch (error) {
      if (performance.now() >= until) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

import { fetchModules } from '../../src/engine/deferred.ts';
import { Engine } from '../../src/engine/engine.ts';
import { type OpenDevice, openDevice } from '../../src/node/device.ts';
import { readShader } from '../../src/node/shaders.ts';
import { parseToggles } from '../../src/node/toggles.ts';
import { readVariants } from '../../src/node/variants.ts';

let opened: Promise<OpenDevice> | undefined;
let shared: Promise<Engine> | undefined;

/** The device that the tests of one process share. `RAAD_TOGGLES=A,-B` switches toggles of Dawn. */
export function device(): Promise<OpenDevice> {
  opened ??= openDevice({ toggles: parseToggles(process.env['RAAD_TOGGLES']) });
  return opened;
}

/**
 * The engine on that device, with all its capabilities. `RAAD_SHADER=FILE.wgsl` puts another kernel to the test,
 * `RAAD_VARIANTS=FILE.mjs` further variants.
 */
export async function engine(): Promise<Engine> {
  shared ??= open();
  const opened = await shared;
  // Tests look at variants without compiling them, and each file of a process brings further modules.
  await fetchModules();
  return opened;
}

async function open(): Promise<Engine> {
  const replaced = process.env['RAAD_SHADER'];
  const added = process.env['RAAD_VARIANTS'];
  const engine = new Engine({
    device: (await device()).device,
    shaders: replaced ? await readShader(replaced) : undefined,
    variants: added ? await readVariants(added) : undefined,
  });
  await engine.ready;
  return engine;
}

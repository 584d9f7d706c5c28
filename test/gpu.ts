import { Engine } from '../src/engine/engine.ts';
import { type OpenDevice, openDevice } from '../src/node/device.ts';
import { readShader } from '../src/node/shaders.ts';

let opened: Promise<OpenDevice> | undefined;
let shared: Promise<Engine> | undefined;

/** The device that the tests of one process share. */
export function device(): Promise<OpenDevice> {
  opened ??= openDevice();
  return opened;
}

/** The engine on that device, with all its capabilities. `RAAD_SHADER=FILE.wgsl` puts another kernel to the test. */
export function engine(): Promise<Engine> {
  shared ??= open();
  return shared;
}

async function open(): Promise<Engine> {
  const replaced = process.env['RAAD_SHADER'];
  return new Engine({ device: (await device()).device, ...(replaced && { shaders: await readShader(replaced) }) });
}

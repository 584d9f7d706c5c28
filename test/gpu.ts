import { Engine } from '../src/engine/engine.ts';
import { type OpenDevice, openDevice } from '../src/node/device.ts';

let opened: Promise<OpenDevice> | undefined;
let shared: Promise<Engine> | undefined;

/** The device that the tests of one process share. */
export function device(): Promise<OpenDevice> {
  opened ??= openDevice();
  return opened;
}

/** The engine on that device, with all its capabilities. */
export function engine(): Promise<Engine> {
  shared ??= device().then(({ device }) => new Engine({ device }));
  return shared;
}

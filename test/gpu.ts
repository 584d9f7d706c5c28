import { create, globals } from 'webgpu';
import { Engine } from '../src/engine/engine.ts';

Object.assign(globalThis, globals);
const gpu = create([]);
let shared: Promise<Engine> | undefined;
export function engine(): Promise<Engine> {
  shared ??= (async () => {
    const adapter = (await gpu.requestAdapter())!;
    const device = await adapter.requestDevice({
      requiredFeatures: ['subgroups'],
      requiredLimits: { maxBufferSize: adapter.limits.maxBufferSize },
    });
    return new Engine({ device });
  })();
  return shared;
}

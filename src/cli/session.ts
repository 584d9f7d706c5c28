import { detectCaps } from '../engine/caps.ts';
import { Engine } from '../engine/engine.ts';
import { openDevice } from '../node/device.ts';
import { loadTuning } from '../node/tuning.ts';
import type { Arguments } from './arguments.ts';

/** Opens the adapter that the arguments name, says which it is, and gives it back when the work is done. */
export async function withEngine<T>(args: Arguments, work: (engine: Engine) => Promise<T>): Promise<T> {
  const adapter = args.text('adapter');
  const opened = await openDevice(adapter ? { adapter } : {});
  console.error(`adapter: ${opened.adapter.name} (${opened.adapter.kind}, ${opened.adapter.backend})`);
  const engine = new Engine({
    device: opened.device,
    tuning: await loadTuning(detectCaps(opened.device), notice),
    ...(args.flag('dump-wgsl') && { onShader: printShader }),
  });
  try {
    return await work(engine);
  } finally {
    engine.destroy();
    opened.close();
  }
}

function printShader(name: string, wgsl: string): void {
  console.log(`// ---- ${name}\n${wgsl}\n`);
}

/** A notice that does not stop the work. */
export function notice(message: string): void {
  console.error(`note: ${message}`);
}

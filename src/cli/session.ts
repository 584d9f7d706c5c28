import { detectCaps } from '../engine/caps.ts';
import { Engine } from '../engine/engine.ts';
import { DeviceError } from '../engine/errors.ts';
import type { Dispatch } from '../engine/plan.ts';
import { openDevice } from '../node/device.ts';
import { loadExclusions } from '../node/exclusions.ts';
import { readShader } from '../node/shaders.ts';
import { loadTuning } from '../node/tuning.ts';
import { readVariants } from '../node/variants.ts';
import type { Arguments } from './arguments.ts';

export interface SessionOptions {
  /** Whether variants that `raad doctor` found wrong on this adapter are left out; yes by default. */
  readonly withExclusions?: boolean;
}

/**
 * Opens the adapter that the arguments name, says which it is, and gives it back when the work is done.
 * @throws DeviceError for what the device reported outside of any call
 */
export async function withEngine<T>(
  args: Arguments,
  work: (engine: Engine) => Promise<T>,
  { withExclusions = true }: SessionOptions = {},
): Promise<T> {
  const adapter = args.text('adapter');
  const toggles = args.text('toggles');
  const shader = args.text('shader');
  const shaders = shader ? await readShader(shader) : undefined;
  const module = args.text('variant-module');
  const variants = module ? await readVariants(module) : undefined;
  const opened = await openDevice({
    ...(adapter && { adapter }),
    ...(toggles && { toggles: [`enable-dawn-features=${toggles}`] }),
  });
  console.error(`adapter: ${opened.adapter.name} (${opened.adapter.kind}, ${opened.adapter.backend})`);
  if (toggles) notice(`Dawn's toggles ${toggles} are on.`);
  if (shader) notice(`${shader} replaces the kernel of the same name.`);
  const caps = detectCaps(opened.device);
  const exclusions = withExclusions ? await loadExclusions(caps, notice) : [];
  for (const { variant, row, message } of exclusions)
    notice(`${variant} is not used: \`raad doctor\` found it wrong here (${row}: ${message}). Run it again to check.`);
  let uncaptured: string | undefined;
  opened.device.addEventListener('uncapturederror', ({ error }) => {
    uncaptured ??= error.message;
  });
  const engine = new Engine({
    device: opened.device,
    tuning: await loadTuning(caps, notice),
    excluded: new Set(exclusions.map(({ variant }) => variant)),
    memoryBytes: opened.memoryBytes,
    ...(variants && { variants }),
    ...(shaders && { shaders }),
    ...(args.flag('debug') && { onPlan: printPlan }),
    ...(args.flag('dump-wgsl') && { onShader: printShader }),
  });
  try {
    const result = await work(engine);
    for (const name of shaders?.keys() ?? []) {
      if (!engine.pipelines.has(name)) notice(`no kernel called ${name} ran, so nothing was replaced.`);
    }
    if (uncaptured !== undefined) throw new DeviceError(`the device reported: ${uncaptured}`);
    return result;
  } finally {
    engine.destroy();
    opened.close();
  }
}

/** One line per dispatch. */
function printPlan(dispatches: readonly Dispatch[]): void {
  for (const { label, kernel, grid } of dispatches)
    console.error(`debug: ${label}: ${kernel}, ${grid.join(' x ')} workgroups`);
}

function printShader(name: string, wgsl: string): void {
  console.log(`// ---- ${name}\n${wgsl}\n`);
}

/** A notice that does not stop the work. */
export function notice(message: string): void {
  console.error(`note: ${message}`);
}

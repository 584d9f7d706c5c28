import { detectCaps } from '../engine/caps.ts';
import { Engine } from '../engine/engine.ts';
import { DeviceError } from '../engine/errors.ts';
import type { Dispatch } from '../engine/plan.ts';
import { UserError } from '../errors.ts';
import { openDevice } from '../node/device.ts';
import { loadExclusions } from '../node/exclusions.ts';
import { readOwnShaders, readShader } from '../node/shaders.ts';
import { parseToggles, type Toggles } from '../node/toggles.ts';
import { loadTuning } from '../node/tuning.ts';
import { readVariants } from '../node/variants.ts';
import { type Arguments, UsageError } from './arguments.ts';
import { printText, say } from './print.ts';

/** What commands that measure ask for: timestamps in the GPU's own steps instead of those of 65.5 us. */
export const MEASURING = '-timestamp_quantization';

/**
 * The toggles of `--toggles A,-B`, and those that a command asks for itself where the user does not name them.
 * @param own in the same form
 * @throws UsageError for names that are none, or switched both on and off
 */
export function readToggles(args: Arguments, own?: string): Toggles {
  try {
    return parseToggles(args.text('toggles'), own);
  } catch (error) {
    throw error instanceof UserError ? new UsageError(`--toggles: ${error.message}`, error.fix) : error;
  }
}

function togglesText({ on, off }: Toggles): string {
  const parts = [on.length > 0 && `${on.join(', ')} on`, off.length > 0 && `${off.join(', ')} off`];
  return `Dawn's toggles: ${parts.filter(Boolean).join('; ')}.`;
}

/** Files that any command may be given. */
export function inputFiles(args: Arguments): (string | undefined)[] {
  return [args.text('shader'), args.text('variant-module')];
}

export interface SessionOptions {
  /** What the command asks Dawn for itself. @see readToggles */
  readonly toggles?: string;
  /** Whether variants that `raad doctor` found wrong on this adapter are left out; yes by default. */
  readonly withExclusions?: boolean;
}

/** The engine of a command, which may have to be replaced where its device is lost. */
export interface EngineSession {
  /** The one of now. */
  readonly engine: Engine;
  /** Opens the same adapter again, as at first. What was on the device before is gone. */
  reopen(): Promise<Engine>;
}

/**
 * Opens the adapter that the arguments name, says which it is, and gives it back when the work is done.
 * @throws DeviceError for what the device reported outside of any call
 */
export async function withEngine<T>(
  args: Arguments,
  work: (engine: Engine, session: EngineSession) => Promise<T>,
  options: SessionOptions = {},
): Promise<T> {
  const open = await engineOpener(args, options);
  let opened = await open(notice);
  const session: EngineSession = {
    get engine() {
      return opened.engine;
    },
    async reopen() {
      opened.close();
      // What there is to say about files and options has been said.
      opened = await open(() => {});
      return opened.engine;
    },
  };
  try {
    const result = await work(opened.engine, session);
    for (const name of opened.replaced) {
      if (!opened.engine.pipelines.has(name)) notice(`no kernel called ${name} ran, so nothing was replaced.`);
    }
    const uncaptured = opened.uncaptured();
    if (uncaptured !== undefined) throw new DeviceError(`the device reported: ${uncaptured}`);
    return result;
  } finally {
    opened.close();
  }
}

/** An engine on a device of its own. */
interface OpenEngine {
  readonly engine: Engine;
  /** Names of the kernels that `--shader` replaces. */
  readonly replaced: readonly string[];
  /** What the device reported outside of any call. */
  uncaptured(): string | undefined;
  close(): void;
}

/** @returns opens the adapter of the arguments, as often as it is called */
async function engineOpener(
  args: Arguments,
  { toggles, withExclusions = true }: SessionOptions,
): Promise<(tell: (message: string) => void) => Promise<OpenEngine>> {
  const adapter = args.text('adapter');
  const switched = readToggles(args, toggles);
  const shader = args.text('shader');
  const replaced = shader ? await readShader(shader) : new Map<string, string>();
  const isDumped = args.flag('dump-wgsl');
  const shaders = new Map([...(isDumped ? await readOwnShaders() : []), ...replaced]);
  const module = args.text('variant-module');
  const variants = module ? await readVariants(module) : undefined;
  return async (tell) => {
    const opened = await openDevice({ adapter, toggles: switched });
    say(`adapter: ${opened.adapter.name} (${opened.adapter.kind}, ${opened.adapter.backend})`);
    if (args.text('toggles')) tell(togglesText(switched));
    if (shader) tell(`${shader} replaces the kernel of the same name.`);
    const caps = detectCaps(opened.device);
    if (args.text('precision') === 'f16' && caps.isCpu)
      tell('kernels with halves are made for GPUs: this adapter runs those for floats.');
    const exclusions = withExclusions ? await loadExclusions(caps, tell) : [];
    for (const { variant, row, message } of exclusions)
      tell(`${variant} is not used: \`raad doctor\` found it wrong here (${row}: ${message}). Run it again to check.`);
    let uncaptured: string | undefined;
    opened.device.addEventListener('uncapturederror', ({ error }) => {
      uncaptured ??= error.message;
    });
    const engine = new Engine({
      device: opened.device,
      tuning: await loadTuning(caps, tell),
      excluded: new Set(exclusions.map(({ variant }) => variant)),
      memoryBytes: opened.memoryBytes,
      variants,
      shaders,
      onPlan: args.flag('debug') ? printPlan : undefined,
      onShader: isDumped ? printShader : undefined,
    });
    return {
      engine,
      replaced: [...replaced.keys()],
      uncaptured: () => uncaptured,
      close() {
        engine.destroy();
        opened.close();
      },
    };
  };
}

/** One line per dispatch. */
function printPlan(dispatches: readonly Dispatch[]): void {
  for (const { label, kernel, grid } of dispatches) say(`debug: ${label}: ${kernel}, ${grid.join(' x ')} workgroups`);
}

function printShader(name: string, wgsl: string): void {
  printText(`// ---- ${name}\n${wgsl}\n`);
}

/** A notice that does not stop the work. */
export function notice(message: string): void {
  say(`note: ${message}`);
}

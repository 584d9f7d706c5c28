import { constants } from 'node:os';
import { inspect } from 'node:util';
import { UserError } from '../errors.ts';
import { type Arguments, type OptionTable, parseArguments, UsageError } from './arguments.ts';
import * as allocating from './commands/allocate.ts';
import * as attention from './commands/attention.ts';
import * as bench from './commands/bench.ts';
import * as bias from './commands/bias.ts';
import * as data from './commands/data.ts';
import * as demo from './commands/demo.ts';
import * as devices from './commands/devices.ts';
import * as doctor from './commands/doctor.ts';
import * as estimate from './commands/estimate.ts';
import * as evaluation from './commands/eval.ts';
import * as exporting from './commands/export.ts';
import * as fit from './commands/fit.ts';
import * as generate from './commands/generate.ts';
import * as importingDetector from './commands/importDetector.ts';
import * as importingTeacher from './commands/importTeacher.ts';
import * as info from './commands/info.ts';
import * as predict from './commands/predict.ts';
import * as quantize from './commands/quantize.ts';

import * as recalibrate from './commands/recalibrate.ts';
import * as report from './commands/report.ts';
import * as running from './commands/run.ts';

import * as sensitivity from './commands/sensitivity.ts';
import * as study from './commands/study.ts';
import * as studyWorker from './commands/studyWorker.ts';
import * as tune from './commands/tune.ts';
import * as web from './commands/web.ts';
import { printText, say, sayText } from './print.ts';

interface Command {
  readonly usage: string;
  readonly options: OptionTable;
  run(args: Arguments, signal: AbortSignal): Promise<void>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  fit,
  eval: evaluation,
  predict,
  data,
  quantize,
  allocate: allocating,
  recalibrate,
  attention,
  bias,
  sensitivity,
  run: running,
  study,
  'study-worker': studyWorker,
  report,
  info,
  export: exporting,
  'import-teacher': importingTeacher,
  'import-detector': importingDetector,
  devices,
  doctor,
  tune,
  bench,
  estimate,
  generate,
  demo,
  web,
};

const COMMON_USAGE = `Options of every command:
  --adapter NAME         gpu, lavapipe, swiftshader, or a part of the adapter's name; RAAD_ADAPTER does the same.
                         By default a hardware GPU, else lavapipe, else SwiftShader
  --debug                a line per kernel of everything that is compiled
  --dump-wgsl            print every shader as it runs
  --shader FILE.wgsl     take this file instead of the kernel of the same name, for one run
  --variant-module FILE.mjs   variants of ops besides the package's own; see docs/adding-a-variant.md
  --toggles A,-B         Dawn's own toggles: A is switched on, B off, such as skip_validation,-timestamp_quantization.
                         None by default; bench and tune switch timestamp_quantization off unless it is named.
                         Write --toggles=-B where the first is switched off
  --help

Exit codes: 0 done, 1 the input or machine was at fault, 2 wrong usage, 70 a bug, 130 stopped by Ctrl-C, 143 by SIGTERM,
129 by SIGHUP.`;

const EXIT = { failed: 1, usage: 2, bug: 70 } as const;

/** What ends a command in order: its state is saved. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function help(name: string | undefined): string {
  const command = name === undefined ? undefined : COMMANDS[name];
  if (command) return `${command.usage}\n\n${COMMON_USAGE}`;
  return [
    'Industrial anomaly detection on hand-written WebGPU kernels.',
    ...Object.values(COMMANDS).map((c) => c.usage),
  ]
    .concat(COMMON_USAGE)
    .join('\n\n');
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    printText(help(rest[0]));
    return name === undefined ? EXIT.usage : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command)
    throw new UsageError(`there is no command '${name}'.`, `Use one of: ${Object.keys(COMMANDS).join(', ')}.`);
  const args = parseArguments(rest, command.options);
  if (args.flag('help')) {
    printText(help(name));
    return 0;
  }
  const interrupt = new AbortController();
  for (const name of SIGNALS)
    process.on(name, () => {
      const reason = new Interrupted(128 + constants.signals[name]);
      if (interrupt.signal.aborted) process.exit(reason.exitCode);
      interrupt.abort(reason);
      say(...(name === 'SIGINT' ? ['', 'stopping; press Ctrl-C again to stop at once'] : [`stopping on ${name}`]));
    });
  await command.run(args, interrupt.signal);
  return 0;
}

class Interrupted extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super();
    this.exitCode = exitCode;
  }
}

function exitCode(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof UserError) {
    say(`raad: ${error.message}${error.fix ? ` ${error.fix}` : ''}`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
  sayText(inspect(error));
  return EXIT.bug;
}

// `head` and the like close the pipe early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  if (error.code !== 'EIO') throw error;
});
// A terminal that was closed takes no words any more, and the state is saved all the same.
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EIO' && error.code !== 'EPIPE') throw error;
});

process.exitCode = await main(process.argv.slice(2)).catch(exitCode);

// Measures this machine's card: every step is a program of its own with a time limit of its own, so that a failing one loses
// nothing, and after each of them what is known is written into one JSON file. `npm run docs:card` renders it.
//
//   npm run bench:card -- [--only STEP,...]    of those below, in their order; "peers" names all that start so
//                         [--out FILE]         bench/results/ADAPTER.json; steps that are in the file and not run again stay
//                         [--seconds N]        for everything, 900; steps that no time is left for are left out
//                         [--limit N]          seconds of each step instead of its own
//                         [--size xs|s|m --resolution PX]   s and 256
//                         [--rounds N]         timed runs; 50 on a GPU, else 5
//                         [--torch FILE]       PyTorch's figures for this card, measured before, instead of its step
//                         [--toggles A,-B]     handed on to the command line
//
// Needs dist/, made by `npm run build`; RAAD_ADAPTER chooses the adapter. Nothing else should run meanwhile.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';

const FORMAT = 'raad-card';
const VERSION = 1;
/** Where steps leave what they measured: not part of the repository. */
const FOLDER = 'out/card';
/** Programs of bench/ as one file each, where the sources' packages are not installed. */
const bundleOf = (program) => `bench-bundles/${program}.mjs`;
const TORCH = ['bench/torch_anchor.py', '.gpu/torch_anchor.py'];
/** Between the request to stop, which lets a step save what it has, and the end. */
const GRACE = 8000;
/** Seconds below which no step is started. */
const LEAST = 5;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    out: { type: 'string' },
    seconds: { type: 'string', default: '900' },
    limit: { type: 'string' },
    size: { type: 'string', default: 's' },
    resolution: { type: 'string', default: '256' },
    rounds: { type: 'string' },
    torch: { type: 'string' },
    toggles: { type: 'string' },
  },
});
const { size, resolution } = values;

/** Ends with a message for the user. */
function refuse(message) {
  console.error(message);
  process.exit(2);
}

for (const name of ['seconds', 'limit', 'rounds']) {
  const text = values[name];
  if (text !== undefined && !(Number(text) > 0)) refuse(`--${name} ${text} cannot be used. Give a number above 0.`);
}
if (!existsSync('dist/cli.js')) refuse('dist/cli.js is missing. Run `npm run build` in the root of the repository.');
mkdirSync(FOLDER, { recursive: true });

const network = ['--size', size, '--resolution', resolution];
const toggles = values.toggles === undefined ? [] : [`--toggles=${values.toggles}`];
const halves = ['--precisions', 'f32,f16'];
const json = (name) => `${FOLDER}/${name}.json`;
/** The command line: `node dist/cli.js` with options that a reader can repeat. */
const cli = (args) => ({
  argv: [process.execPath, 'dist/cli.js', ...args],
  shown: `node dist/cli.js ${args.join(' ')}`,
});

function bench(name, suites, options) {
  const more = ['--rounds', rounds(), ...toggles, '--json', json(name)];
  return { runs: [cli(['bench', ...suites, ...network, ...options, ...more])] };
}

function peers(name, what, options, seconds) {
  const args = ['--what', what, '--size', size, '--side', resolution, ...options, ...toggles, '--rounds', rounds()];
  args.push('--seconds', String(Math.max(1, Math.floor(seconds) - 10)), '--json', json(name));
  return { runs: [benchProgram('peers', args)] };
}

/** A program of bench/, which npm runs by its name. */
function benchProgram(program, args) {
  const file = existsSync(bundleOf(program)) ? [bundleOf(program)] : ['scripts/run.mjs', `bench/${program}.ts`];
  return { argv: [process.execPath, ...file, ...args], shown: `npm run bench:${program} -- ${args.join(' ')}` };
}

function host(name) {
  return { runs: [benchProgram('host', [...network, ...toggles, '--rounds', rounds(), '--json', json(name)])] };
}

function torch(name) {
  if (values.torch !== undefined) {
    const file = values.torch;
    return existsSync(file) ? { runs: [], file } : { skip: `${file} does not exist` };
  }
  const script = TORCH.find((path) => existsSync(path));
  if (!script) return { skip: 'there is no torch_anchor.py, and no file was given' };
  if (size !== 's') return { skip: 'PyTorch has the size s only' };
  const args = [script, '--side', resolution, '--json', json(name)];
  return { runs: [{ argv: ['python3', ...args], shown: `python3 ${args.join(' ')}` }] };
}

/** Cards that `raad estimate` knows, by words of adapters' names. */
const PREDICTED = [
  [/h100|h200|h800/i, 'h100'],
  [/rtx 3060/i, 'rtx3060'],
  [/apple m2/i, 'm2'],
  [/iris.*xe/i, 'xe'],
];

function estimate(name) {
  const found = PREDICTED.find(([words]) => words.test(card.name));
  if (!found) return { skip: 'nothing is predicted for this card' };
  return { runs: [cli(['estimate', '--card', found[1], ...network, '--json', json(name)])] };
}

/**
 * What matters most comes first. `seconds` is a step's own limit. `make` gets the step's name and the seconds it will have, and
 * returns programs that run one after the other, or why there are none.
 */
const STEPS = {
  devices: { seconds: 60, make: () => ({ runs: [cli(['devices', '--json', ...toggles])], stdout: true }) },
  doctor: { seconds: 120, make: (name) => ({ runs: [cli(['doctor', ...toggles, '--json', json(name)])] }) },
  // The second program makes the choices those of later steps.
  tune: {
    seconds: 240,
    make: (name) => ({
      runs: [
        cli(['tune', ...network, '--bits', '8', ...toggles, '--export', json(name)]),
        cli(['tune', ...toggles, '--import', json(name)]),
      ],
    }),
  },
  bench: { seconds: 120, make: (name) => bench(name, ['peak', 'networks', 'protocol'], []) },
  'peers-detector': { seconds: 120, make: (name, time) => peers(name, 'detector', ['--bits', '8', ...halves], time) },
  dispatches: { seconds: 60, make: (name) => bench(name, ['peak', 'dispatches'], []) },
  quantized: { seconds: 60, make: (name) => bench(name, ['peak', 'protocol', 'dispatches'], ['--weights', '8']) },
  halves: { seconds: 60, make: (name) => bench(name, ['peak', 'protocol', 'dispatches'], ['--precision', 'f16']) },
  host: { seconds: 60, make: host },
  estimate: { seconds: 60, make: estimate },
  torch: { seconds: 120, make: torch },
  training: { seconds: 60, make: (name) => bench(name, ['training'], ['--batch', '4']) },
  'peers-batch16': {
    seconds: 120,
    make: (name, time) => peers(name, 'detector', ['--batch', '16', '--bits', '8', ...halves], time),
  },
  'doctor-full': {
    seconds: 300,
    make: (name) => ({ runs: [cli(['doctor', '--full', '--no-peaks', ...toggles, '--json', json(name)])] }),
  },
  'peers-training': { seconds: 90, make: (name, time) => peers(name, 'training', [], time) },
  'peers-teacher': { seconds: 90, make: (name, time) => peers(name, 'teacher', [], time) },
  layers: { seconds: 90, make: (name) => bench(name, ['peak', 'layers'], []) },
  batch16: { seconds: 60, make: (name) => bench(name, ['networks'], ['--batch', '16']) },
};

const wanted = values.only?.split(',') ?? Object.keys(STEPS);
for (const name of wanted) {
  if (name !== 'peers' && !Object.hasOwn(STEPS, name))
    refuse(`there is no step '${name}'. Use some of: ${Object.keys(STEPS).join(', ')}, or peers.`);
}
// The adapter's name is needed in any case.
const chosen = Object.keys(STEPS).filter((name) => {
  return name === 'devices' || wanted.includes(name) || (name.startsWith('peers-') && wanted.includes('peers'));
});

let card = { name: 'unknown adapter' };

function rounds() {
  return values.rounds ?? (card.kind === 'gpu' ? '50' : '5');
}

let running;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    running?.kill('SIGKILL');
    process.exit(130);
  });
}

/** Runs a program until it ends or its time is over. */
function execute(argv, seconds) {
  return new Promise((resolve) => {
    const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    running = child;
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr']) {
      child[stream].setEncoding('utf8').on('data', (text) => {
        output[stream] += text;
      });
    }
    let isTimedOut = false;
    let kill;
    const stop = setTimeout(() => {
      isTimedOut = true;
      child.kill('SIGINT');
      kill = setTimeout(() => child.kill('SIGKILL'), GRACE);
    }, seconds * 1000);
    const end = (exit, signal, problem) => {
      clearTimeout(stop);
      clearTimeout(kill);
      running = undefined;
      resolve({ exit, signal, isTimedOut, problem, ...output });
    };
    child.on('error', (error) => end(null, null, error.message));
    child.on('close', (exit, signal) => end(exit, signal));
  });
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a program said of its failure, or its last lines, without this machine's folders. */
function lastWords(text) {
  const lines = text.trim().split('\n');
  const said = lines.findLast((line) => /^(raad:|\w*Error\b)/.test(line.trim())) ?? lines.slice(-4).join('\n');
  return said.trim().replaceAll(`${process.cwd()}/`, '').replaceAll(process.cwd(), '.').slice(-600);
}

function whyFailed({ exit, signal, isTimedOut, problem, stdout, stderr }, seconds) {
  if (problem) return problem;
  if (isTimedOut) return `was stopped after ${Math.round(seconds)} s`;
  if (exit === 0) return undefined;
  return lastWords(stderr) || lastWords(stdout) || (signal ? `ended by ${signal}` : `exit code ${exit}`);
}

/** Runs a step. @returns its entry of the file */
async function runStep(name, left) {
  const seconds = Math.min(Number(values.limit ?? STEPS[name].seconds), left);
  const { runs, skip, stdout, file = json(name) } = STEPS[name].make(name, seconds);
  if (skip) return { command: '', seconds: 0, exit: null, note: `left out: ${skip}` };
  if (runs.length > 0) rmSync(file, { force: true });
  const start = performance.now();
  let outcome = { exit: 0 };
  for (const { argv } of runs) {
    outcome = await execute(argv, Math.max(LEAST, seconds - (performance.now() - start) / 1000));
    // What was saved before the end is still taken over.
    if (outcome.exit !== 0 && !existsSync(file)) break;
  }
  const result = readJson(stdout ? outcome.stdout : existsSync(file) ? readFileSync(file, 'utf8') : '');
  const error = whyFailed(outcome, seconds) ?? (result === undefined ? 'left no result' : undefined);
  return {
    command: runs.map(({ shown }) => shown).join(' && '),
    seconds: Number(((performance.now() - start) / 1000).toFixed(1)),
    exit: outcome.exit,
    ...(outcome.signal && { signal: outcome.signal }),
    ...(outcome.isTimedOut && { timedOut: true }),
    ...(error !== undefined && { error }),
    ...(result !== undefined && { result }),
  };
}

/** The adapter that is measured: the first usable one, as the command line chooses it. */
function cardOf(devices) {
  const asked = process.env['RAAD_ADAPTER']?.toLowerCase();
  const usable = (devices ?? []).filter(({ caps }) => caps);
  const entry = usable.find(({ kind, name }) => !asked || kind === asked || name.toLowerCase().includes(asked));
  if (!entry) return card;
  const { name, kind, backend, caps } = entry;
  const { vendor, architecture, description } = caps;
  return { name, kind, backend, vendor, architecture, driver: description };
}

function slug(name) {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}

/** JSON with each element of a list of objects on a line of its own. */
function pretty(value, indent = '') {
  const deeper = `${indent} `;
  if (Array.isArray(value) && value.some((each) => typeof each === 'object'))
    return `[\n${value.map((each) => deeper + JSON.stringify(each)).join(',\n')}\n${indent}]`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, each]) => each !== undefined);
  if (members.length === 0) return '{}';
  const lines = members.map(([key, each]) => `${deeper}${JSON.stringify(key)}: ${pretty(each, deeper)}`);
  return `{\n${lines.join(',\n')}\n${indent}}`;
}

function writeAtomically(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.part`, text);
  renameSync(`${file}.part`, file);
}

const end = performance.now() + Number(values.seconds) * 1000;
let steps = {};
let out = values.out;
for (const name of chosen) {
  const left = (end - performance.now()) / 1000;
  const entry =
    left < LEAST
      ? { command: '', seconds: 0, exit: null, note: 'left out: no time was left' }
      : await runStep(name, left);
  if (name === 'devices') {
    card = cardOf(entry.result);
    out ??= `bench/results/${slug(card.name)}.json`;
    const before = existsSync(out) ? readJson(readFileSync(out, 'utf8')) : undefined;
    if (before && before.format === FORMAT && before.card?.name === card.name) steps = before.steps ?? {};
    else if (existsSync(out)) refuse(`${out} is not about ${card.name}. Choose another file with --out.`);
  }
  // A step that could not be run does not replace what an earlier run found.
  if (entry.result !== undefined || steps[name]?.result === undefined) steps[name] = entry;
  const ordered = Object.fromEntries(Object.keys(STEPS).flatMap((key) => (steps[key] ? [[key, steps[key]]] : [])));
  const file = { format: FORMAT, version: VERSION, card, date: new Date().toISOString().slice(0, 10), steps: ordered };
  writeAtomically(out, `${pretty(file)}\n`);
  const said =
    entry.note ??
    (entry.error === undefined ? 'done' : `${entry.result === undefined ? 'FAILED' : 'partly'}: ${entry.error}`);
  console.log(`${name.padEnd(15)} ${entry.seconds.toFixed(1).padStart(6)} s  ${said.split('\n')[0]}`);
}
console.log(`${card.name}: ${out}`);

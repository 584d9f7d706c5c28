import { COMMANDS } from './tables/all.ts';
import { COMMON } from './tables/options.ts';
import { type Command, type Option, type Options, PURPOSES, type Purpose } from './tables/table.ts';

/** Characters in a line of help. */
const WIDTH = 100;
/** Where the text of an option begins, at least two spaces behind the longest of the short ones. */
const COLUMN = 27;

const TITLES: Readonly<Record<Purpose, string>> = {
  learn: 'Learn from images of good parts',
  inspect: 'Inspect images and models',
  compress: 'Compress: fewer bits for every layer',
  study: 'Study what helps',
  measure: 'Measure and check this machine',
  exchange: 'Exchange with other programs',
  shell: 'Shell',
};

const EXIT_CODES =
  'Exit codes: 0 done, 1 the input or machine was at fault, 2 wrong usage, 70 a bug, 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.';

/** Words in lines of at most {@link WIDTH} characters. */
function wrap(text: string, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => ' '.repeat(indent) + each);
}

/** A name and what it means, which stands beside it where there is room and else below it. */
function entry(name: string, text: string): string[] {
  const lines = wrap(text, COLUMN);
  const head = `  ${name}`;
  if (head.length + 2 > COLUMN) return [head, ...lines];
  return [head.padEnd(COLUMN) + lines[0]!.trimStart(), ...lines.slice(1)];
}

function optionEntry(name: string, { short, value, text, fallback }: Option): string[] {
  const head = `${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`;
  return entry(head, fallback === undefined ? text : `${text}; ${fallback} by default`);
}

function optionEntries(options: Options): string[] {
  return Object.entries(options)
    .filter(([, { isHidden }]) => !isHidden)
    .flatMap(([name, option]) => optionEntry(name, option));
}

const commonText = () => ['Options of every command:', ...optionEntries(COMMON), '', ...wrap(EXIT_CODES, 0)].join('\n');

/** What a command does, its words and its options. */
function ownHelp({ name, synopsis, about, words = {}, options }: Command): string {
  const parts = COMMANDS.filter((other) => other.name.startsWith(`${name} `));
  const blocks = [
    [`raad ${name} ${synopsis}`.trimEnd(), ...about.flatMap((paragraph) => wrap(paragraph, 2))],
    Object.entries(words).flatMap(([word, text]) => entry(word, text)),
    optionEntries(options),
    parts.flatMap((part) => entry(`raad ${part.name}`, `${part.summary}; see its --help`)),
  ];
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

/** `raad COMMAND --help`. */
export function commandHelp(command: Command): string {
  return `${ownHelp(command)}\n\n${commonText()}`;
}

const ofPurpose = (purpose: Purpose) => COMMANDS.filter((command) => command.purpose === purpose);

/** What bare `raad` says: the commands by purpose, on one screen. */
export function overview(): string {
  const column = 2 + Math.max(...COMMANDS.map(({ name }) => `raad ${name}`.length)) + 2;
  const line = ({ name, summary }: Command) => `  raad ${name}`.padEnd(column) + summary;
  return [
    'Industrial anomaly detection on WebGPU kernels written by hand.',
    ...PURPOSES.flatMap((purpose) => [TITLES[purpose], ...ofPurpose(purpose).map(line)]),
    '`raad COMMAND --help` explains a command; `raad --help` adds the options of all; `raad --version`.',
  ].join('\n');
}

/** `raad --help`. */
export function fullHelp(): string {
  return `${overview()}\n\n${commonText()}`;
}

/** docs/commands.md. */
export function commandsPage(): string {
  const code = (text: string) => ['```text', text, '```'].join('\n');
  const blocks = [
    '# Commands',
    "What `raad COMMAND --help` prints, made from the command line's own tables by `npm run docs:commands`.",
    ...PURPOSES.flatMap((purpose) => [
      `## ${TITLES[purpose]}`,
      ...ofPurpose(purpose).flatMap((command) => [`### raad ${command.name}`, code(ownHelp(command))]),
    ]),
    '## Options of every command',
    code(commonText()),
  ];
  return `${blocks.join('\n\n')}\n`;
}

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseArguments } from '../src/cli/arguments.ts';
import { COMPLETIONS } from '../src/cli/completion.ts';
import { commandHelp, commandsPage, fullHelp, overview } from '../src/cli/help.ts';
import { LOADERS } from '../src/cli/load.ts';
import { COMMANDS, chooseCommand, commandNamed } from '../src/cli/tables/all.ts';
import { COMMON } from '../src/cli/tables/options.ts';
import { choicesOf } from '../src/cli/tables/table.ts';
import { CLI, commandLine } from './support/commandLine.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = join(root, 'src/cli');
const { raad } = commandLine(root);

/** The module of a command. */
const fileOf = (name: string) => /commands\/(\w+\.ts)/.exec(LOADERS[name]!.toString())![1]!;
const parse = (...argv: string[]) => parseArguments(chooseCommand(argv)!);

describe('tables', () => {
  test('have every command once, and every command has a table', () => {
    const names = COMMANDS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(Object.keys(LOADERS).sort()).toEqual([...names].sort());
    expect(names.map(fileOf).sort()).toEqual(readdirSync(join(sources, 'commands')).sort());
  });

  test('have the options that the command reads', () => {
    for (const { name, options } of COMMANDS) {
      const text = readFileSync(join(sources, 'commands', fileOf(name)), 'utf8');
      const read = [...text.matchAll(/args\.(?:text|texts|flag|number|choice)\('([a-z0-9-]+)'/g)].map(
        ([, option]) => option!,
      );
      const known = Object.keys({ ...options, ...COMMON });
      expect(
        read.filter((option) => !known.includes(option)),
        name,
      ).toEqual([]);
    }
  });

  test('say what every option does, and offer no default that is not a choice', () => {
    for (const { name, options } of COMMANDS)
      for (const [option, table] of Object.entries(options)) {
        expect(table.text, `${name} --${option}`).not.toBe('');
        const choices = choicesOf(table);
        if (table.fallback !== undefined && choices.length > 0)
          expect(choices, `${name} --${option}`).toContain(table.fallback);
      }
  });
});

describe('commands', () => {
  const files = readdirSync(join(sources, 'commands'));
  test.each(files)('%s imports no other command', (file) => {
    const text = readFileSync(join(sources, 'commands', file), 'utf8');
    expect([...text.matchAll(/from '\.\/.*'/g)].map(([found]) => found)).toEqual([]);
  });

  test('are loaded when they run: what starts is small and needs no package', () => {
    const seen = new Map<string, string>();
    const visit = (file: string) => {
      if (seen.has(file)) return;
      const text = readFileSync(file, 'utf8');
      seen.set(file, text);
      for (const [, name] of text.matchAll(/(?:^|;)(?:import|export)(?:[^"';]*?from)?"([^"]+)"/gm)) {
        if (name!.startsWith('.')) visit(join(dirname(file), name!));
        else expect(name).toMatch(/^node:/);
      }
    };
    visit(CLI);
    expect(seen.size).toBeGreaterThan(1);
    expect([...seen.values()].reduce((sum, text) => sum + text.length, 0)).toBeLessThan(100_000);
  });
});

describe('help', () => {
  test('the page of all commands is what the tables say', () => {
    const page = readFileSync(join(root, 'docs/commands.md'), 'utf8');
    expect(page, 'run npm run docs:commands').toBe(commandsPage());
  });

  test('bare raad is a screenful by purpose, and wrong usage', () => {
    const { status, stdout } = raad();
    expect(status).toBe(2);
    expect(stdout).toBe(`${overview()}\n`);
    const lines = overview().split('\n');
    expect(lines.length).toBeLessThan(45);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
    for (const { name, summary } of COMMANDS)
      expect(
        lines.some((line) => line.startsWith(`  raad ${name} `) && line.endsWith(summary)),
        name,
      ).toBe(true);
  });

  test('raad --help, raad help COMMAND and raad COMMAND --help', () => {
    expect(raad('--help').stdout).toBe(`${fullHelp()}\n`);
    const help = `${commandHelp(commandNamed('bench kernels')!)}\n`;
    expect(raad('help', 'bench', 'kernels').stdout).toBe(help);
    const { status, stdout } = raad('bench', 'kernels', '--help');
    expect([status, stdout]).toEqual([0, help]);
    expect(raad('help', 'fly')).toMatchObject({ status: 2, stdout: '' });
  });

  test('tells every option of a command but those of earlier versions', () => {
    for (const command of COMMANDS) {
      const lines = commandHelp(command).split('\n');
      for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(100);
      for (const [name, { isHidden = false }] of Object.entries({ ...command.options, ...COMMON }))
        expect(
          lines.some((line) => new RegExp(`^  (-\\w, )?--${name}( |$)`).test(line)),
          `${command.name} --${name}`,
        ).toBe(!isHidden);
    }
  });

  test('raad --version', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(raad('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('arguments', () => {
  test('are what the table says', () => {
    const args = parse('bench', 'kernels', 'conv2d', '--shape', 'a', '--shape', 'b', '--rounds', '4');
    expect(args.positionals).toEqual(['conv2d']);
    expect(args.texts('shape')).toEqual(['a', 'b']);
    expect(args.number('rounds')).toBe(4);
    expect(parse('fit', 'data', '-o', 'model').text('output')).toBe('model');
    expect(parse('fit', '--resume').flag('resume')).toBe(true);
  });

  test('parts of bench are chosen by their names, and by the options of earlier versions', () => {
    const named = (...argv: string[]) => chooseCommand(argv)?.command.name;
    expect(named('bench')).toBe('bench');
    expect(named('bench', 'layers')).toBe('bench');
    expect(named('bench', 'kernels', 'conv2d')).toBe('bench kernels');
    expect(named('bench', '--rounds', '1', '--kernel', 'conv2d')).toBe('bench kernels');
    expect(named('bench', '--model=a', '--model=b')).toBe('bench models');
    expect(parse('bench', '--model=a', '--model=b').texts('model')).toEqual(['a', 'b']);
    expect(named('fly')).toBeUndefined();
  });

  test.each([
    [['fit', '--wings'], "unknown option '--wings'.", 'See `raad fit --help`.'],
    [['fit', '--batch'], "option '--batch <value>' argument missing.", 'See `raad fit --help`.'],
    [['bench', '--bits', '4'], '--bits goes with --kernel.', 'Use `raad bench kernels`.'],
    [['bench', '--model', 'm', '--svg', 'x'], '--svg does not go with --model.', 'Use `raad bench`.'],
    [['bench', 'models', '--trace', 'x'], '--trace does not go with bench models.', 'Use `raad bench`.'],
  ])('%j', (argv, message, fix) => {
    expect(() => parse(...argv)).toThrow(expect.objectContaining({ message, fix }));
  });
});

describe('completion', () => {
  const folder = temporaryFolder();
  writeTree(folder, {
    'photo.png': '',
    raad: '',
    ...Object.fromEntries(Object.entries(COMPLETIONS).map(([shell, script]) => [`complete.${shell}`, script()])),
  });
  const has = (shell: string) => spawnSync(shell, ['-c', 'true']).status === 0;
  const shellRun = (shell: string, program: string) => {
    const { stdout, stderr } = spawnSync(shell, ['-c', program], { encoding: 'utf8', cwd: folder });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((line) => line !== '');
  };
  /** What each shell offers for a line that ends in the word to complete. */
  const offers: Record<string, (line: readonly string[]) => string[]> = {
    bash: (line) => {
      const words = line.map((word) => `'${word}'`).join(' ');
      const set = `COMP_WORDS=(${words}); COMP_CWORD=${line.length - 1}`;
      // compopt works below a real completion only.
      return shellRun('bash', `. ./complete.bash; compopt() { :; }; ${set}; _raad; printf '%s\\n' "\${COMPREPLY[@]}"`);
    },
    zsh: (line) => {
      const words = line.map((word) => `'${word}'`).join(' ');
      const stand = [
        'compdef() { :; }',
        'compadd() { shift; print -l -- "$@"; }',
        '_files() { print -l -- *; }',
        '_describe() { print -l -- $commands; }',
      ].join('\n');
      const current = line.at(-1)!;
      const offered = shellRun('zsh', `${stand}\n. ./complete.zsh\nwords=(${words}); CURRENT=${line.length}; _raad`);
      return offered.map((each) => each.split(':')[0]!).filter((word) => word.startsWith(current));
    },
    fish: (line) =>
      shellRun('fish', `source complete.fish; complete -C '${line.join(' ')}'`).map((each) => each.split('\t')[0]!),
  };

  describe.each(Object.keys(COMPLETIONS))('%s', (shell) => {
    const offer = (...line: string[]) => offers[shell]!(line).sort();

    test.skipIf(!has(shell))('offers commands, parts, options, values and files', () => {
      expect(offer('raad', 'stu')).toEqual(['study', 'study-worker']);
      expect(offer('raad', 'bench', 'k')).toEqual(['kernels']);
      expect(offer('raad', 'bench', 'la')).toEqual(['layers']);
      expect(offer('raad', 'fit', '--pre')).toEqual(['--preset']);
      expect(offer('raad', 'fit', '--preset', '')).toEqual(['paper', 'quick', 'standard']);
      expect(offer('raad', 'bench', 'kernels', '--cs')).toEqual(['--csv']);
      expect(offer('raad', 'bench', '--cs')).toEqual([]);
      expect(offer('raad', 'predict', 'model', 'pho')).toEqual(['photo.png']);
      expect(offer('raad', 'fit', '--log', 'pho')).toEqual(['photo.png']);
    });
  });

  test('is printed by a command, which refuses other shells', () => {
    expect(raad('completion', 'fish').stdout).toBe(`${COMPLETIONS['fish']!()}\n`);
    expect(raad('completion', 'ksh')).toMatchObject({ status: 2, stdout: '' });
  });
});

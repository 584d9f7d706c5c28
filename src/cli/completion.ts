import { COMMANDS } from './tables/all.ts';
import { COMMON } from './tables/options.ts';
import { type Command, choicesOf, type Option } from './tables/table.ts';

/** Programs that make a shell complete `raad`, by the shell's name. */
export const COMPLETIONS: Readonly<Record<string, () => string>> = { bash, zsh, fish };

interface NamedOption extends Option {
  readonly name: string;
}

function optionsOf(command: Command): NamedOption[] {
  return Object.entries({ ...command.options, ...COMMON })
    .map(([name, option]) => ({ name, ...option }))
    .filter(({ isHidden }) => !isHidden);
}

const single = COMMANDS.filter(({ name }) => !name.includes(' '));
/** The second words of commands whose first is this one. */
const partsOf = (name: string) =>
  COMMANDS.filter((other) => other.name.startsWith(`${name} `)).map((other) => other.name.slice(name.length + 1));

/** Words that may follow a command's name. */
const wordsOf = ({ name, words = {} }: Command) => [...partsOf(name), ...Object.keys(words)];

/** A text in single quotes, as all three shells read it. */
function quoted(text: string, escapedQuote: string): string {
  return `'${text.replaceAll("'", escapedQuote)}'`;
}

/** The lines of a `case` of bash and zsh that sets what a command and an option before the cursor allow. */
function cases(): string {
  return COMMANDS.map((command) => {
    const options = optionsOf(command);
    const valued = options.filter(({ value }) => value !== undefined);
    const flags = (some: readonly NamedOption[]) =>
      some.flatMap(({ name, short }) => [`--${name}`, ...(short ? [`-${short}`] : [])]);
    const chosen = valued
      .filter((option) => choicesOf(option).length > 0)
      .map((option) => `        ${flags([option]).join('|')}) values='${choicesOf(option).join(' ')}' ;;`);
    const open = valued.filter((option) => choicesOf(option).length === 0);
    return [
      `    '${command.name}')`,
      `      options='${flags(options).join(' ')}'`,
      `      words='${wordsOf(command).join(' ')}'`,
      '      case "$previous" in',
      ...chosen,
      ...(open.length > 0 ? [`        ${flags(open).join('|')}) takes_file=1 ;;`] : []),
      '      esac ;;',
    ].join('\n');
  }).join('\n');
}

/** What the command line has so far, in the variables that {@link cases} sets. */
function state(first: string, second: string): string {
  const parts = COMMANDS.filter(({ name }) => name.includes(' ')).map(({ name }) => `'${name}'`);
  return `  local options='' words='' values='' takes_file='' command="${first}"
  case "${first} ${second}" in ${parts.join('|')}) command="${first} ${second}" ;; esac
  case "$command" in
${cases()}
  esac`;
}

const names = single.map(({ name }) => name).join(' ');

function bash(): string {
  const typed = (index: number) => `\${COMP_WORDS[${index}]}`;
  return `# bash completion of raad
_raad() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${names} help --help --version' -- "$current"))
    return
  fi
${state(typed(1), typed(2))}
  if [ -n "$values" ]; then
    COMPREPLY=($(compgen -W "$values" -- "$current"))
  elif [ -z "$takes_file" ] && [ "\${current:0:1}" = - ]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [ -z "$takes_file" ] && [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}
complete -F _raad raad`;
}

function zsh(): string {
  const described = single.map(({ name, summary }) => quoted(`${name}:${summary.replaceAll(':', '\\:')}`, "'\\''"));
  return `#compdef raad
_raad() {
  local current="\${words[CURRENT]}" previous="\${words[CURRENT-1]}" first="\${words[2]}" second="\${words[3]}"
  if (( CURRENT == 2 )); then
    local -a commands=(
      ${described.join('\n      ')}
    )
    _describe command commands
    return
  fi
  _raad_rest
}
_raad_rest() {
${state('$first', '$second')}
  if [[ -n "$values" ]]; then
    compadd -- \${=values}
  elif [[ -z "$takes_file" && "$current" == -* ]]; then
    compadd -- \${=options}
  elif [[ -z "$takes_file" && -n "$words" ]]; then
    compadd -- \${=words}
  else
    _files
  fi
}
compdef _raad raad`;
}

function fish(): string {
  const text = (words: string) => quoted(words, "\\'");
  const lines = single.map(
    ({ name, summary }) => `complete -c raad -f -n __fish_use_subcommand -a ${name} -d ${text(summary)}`,
  );
  for (const command of COMMANDS) {
    const [first, second] = command.name.split(' ') as [string, string?];
    const seen = `__fish_seen_subcommand_from ${first}`;
    const parts = partsOf(first).join(' ');
    // A part has options of its own, not those of the command that it is a part of.
    const others = parts && `; and not __fish_seen_subcommand_from ${parts}`;
    const condition = text(second ? `${seen}; and __fish_seen_subcommand_from ${second}` : `${seen}${others}`);
    const words = wordsOf(command);
    if (words.length > 0) lines.push(`complete -c raad -f -n ${condition} -a ${text(words.join(' '))}`);
    for (const { name, short, ...option } of optionsOf(command)) {
      const choices = choicesOf(option);
      const argument = choices.length > 0 ? ` -x -a ${text(choices.join(' '))}` : option.value ? ' -r -F' : '';
      lines.push(
        `complete -c raad -n ${condition} -l ${name}${short ? ` -s ${short}` : ''}${argument} -d ${text(option.text)}`,
      );
    }
  }
  return ['# fish completion of raad', ...lines].join('\n');
}

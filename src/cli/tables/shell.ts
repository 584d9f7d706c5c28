import type { Command } from './table.ts';

const completion: Command = {
  name: 'completion',
  purpose: 'shell',
  summary: 'print what makes a shell complete commands and options',
  synopsis: 'bash|zsh|fish',
  about: [
    'Prints a script that makes the Tab key complete commands, options and their values.',
    'bash: put `source <(raad completion bash)` into ~/.bashrc. zsh: the same with zsh into ~/.zshrc, after compinit. fish: run `raad completion fish > ~/.config/fish/completions/raad.fish`.',
  ],
  words: { bash: 'for bash', zsh: 'for zsh', fish: 'for fish' },
  options: {},
};

export const SHELL: readonly Command[] = [completion];

/** An option of a command. */
export interface Option {
  /** What stands for its value, such as `FILE`, or the values that there are, `xs|s|m`. Absent: a switch without a value. */
  readonly value?: string;
  /** One letter that does the same. */
  readonly short?: string;
  /** May be given several times. */
  readonly isRepeatable?: boolean;
  /** Accepted and told nowhere: what an earlier version called it. */
  readonly isHidden?: boolean;
  /** What it does. */
  readonly text: string;
  /** Its value where it is not given. */
  readonly fallback?: string;
}

export type Options = Readonly<Record<string, Option>>;

/** Headings under which commands are told, in this order. */
export const PURPOSES = ['learn', 'inspect', 'compress', 'study', 'measure', 'exchange', 'shell'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** All that is known of a command before it runs: its arguments are parsed, told and completed by this. */
export interface Command {
  /** One word, or two for a part of another command. */
  readonly name: string;
  readonly purpose: Purpose;
  /** A line of the overview. */
  readonly summary: string;
  /** What follows the name. */
  readonly synopsis: string;
  /** Paragraphs. */
  readonly about: readonly string[];
  /** Words that may stand for a positional argument, and what they mean. */
  readonly words?: Readonly<Record<string, string>>;
  readonly options: Options;
  /** The option of another command by which an earlier version chose this one; it is accepted still. */
  readonly formerly?: { readonly command: string; readonly option: string };
}

/** The values that an option has, none where any text may be one. */
export function choicesOf({ value }: Option): readonly string[] {
  return value?.includes('|') ? value.split('|') : [];
}

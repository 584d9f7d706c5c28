/** A measured card as `scripts/card.mjs` writes it. What steps leave is JSON of other programs: every field may be absent. */
export interface CardFile {
  readonly format: 'raad-card';
  readonly version: number;
  readonly card: {
    readonly name: string;
    readonly kind?: string;
    readonly backend?: string;
    readonly vendor?: string;
    readonly architecture?: string;
    readonly driver?: string;
  };
  /** Of the last run, `2030-01-31`. */
  readonly date: string;
  readonly steps: Readonly<Record<string, CardStep>>;
  /** What somebody has to say of the figures, as Markdown; not part of the file. */
  readonly notes?: string;
}

export interface CardStep {
  /** What repeats the step, from the root of the repository; empty if it was not run. */
  readonly command: string;
  readonly seconds: number;
  readonly exit: number | null;
  readonly timedOut?: boolean;
  /** Why it failed, or why its result is not complete. */
  readonly error?: string;
  /** Why it was left out. */
  readonly note?: string;
  readonly result?: unknown;
}

/** Reads a file's text. @throws Error naming the file, unless it is a measured card of this version */
export function parseCard(text: string, name: string): CardFile {
  const file = JSON.parse(text) as CardFile;
  if (file?.format !== 'raad-card' || file.version !== 1)
    throw new Error(`${name} is not a measured card of version 1.`);
  return file;
}

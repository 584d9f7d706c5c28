/** A repository's address with one of its suites. */
export interface Mirror {
  readonly uri: string;
  readonly suite: string;
  /** Whether its lists count for a limited time, which those of a snapshot do not. */
  readonly expires: boolean;
}

export interface System {
  readonly codename: string;
  readonly architecture: string;
}

export function mirrorsOf(files: readonly { readonly name: string; readonly text: string }[], system: System): Mirror[];

export function sourcesText(
  mirrors: readonly Mirror[],
  options: System & { readonly keyring: string; readonly backports: boolean },
): string;

export function aptConfig(folder: string): string;

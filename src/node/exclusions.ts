import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseShape, type Shape } from '../checks/shape.ts';
import type { Caps } from '../engine/caps.ts';
import { adapterIdentity } from '../engine/tuning.ts';
import { UserError } from '../errors.ts';
import { writeJson } from './jsonFile.ts';
import { cacheFolder } from './tuning.ts';

const FORMAT = 'raad-exclusions';
const VERSION = 1;

/** A variant that a check found wrong on one adapter and driver. */
export interface Exclusion {
  /** `op/variant` */
  readonly variant: string;
  /** The row of the table that it failed. */
  readonly row: string;
  readonly message: string;
}

interface ExclusionFile {
  readonly format: typeof FORMAT;
  readonly version: number;
  /** @see adapterIdentity */
  readonly adapter: string;
  readonly exclusions: readonly Exclusion[];
}

const EXCLUSIONS: Shape = {
  fields: {
    format: { oneOf: [FORMAT] },
    version: { oneOf: [VERSION] },
    adapter: 'text',
    exclusions: { list: { fields: { variant: 'text', row: 'text', message: 'text' } } },
  },
};

/** Where the exclusions of an adapter are kept. */
export function exclusionFile(caps: Caps): string {
  const digest = createHash('sha256').update(adapterIdentity(caps)).digest('hex').slice(0, 16);
  return join(cacheFolder(), `exclusions-${digest}.json`);
}

/**
 * What `raad doctor` found wrong on this adapter and driver.
 * @param notice told about a file that cannot be used, which is then ignored
 */
export async function loadExclusions(caps: Caps, notice: (message: string) => void): Promise<readonly Exclusion[]> {
  const file = exclusionFile(caps);
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const found = parse(text);
  if (found?.adapter === adapterIdentity(caps)) return found.exclusions;
  notice(`${file} is ignored: it holds no exclusions for this adapter. Run \`raad doctor\` to make it anew.`);
  return [];
}

function parse(text: string): ExclusionFile | undefined {
  try {
    return parseShape(text, EXCLUSIONS, 'the file', '');
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return undefined;
  }
}

/** Keeps exclusions for later commands on this adapter; none lifts them. @returns the file */
export async function saveExclusions(caps: Caps, exclusions: readonly Exclusion[]): Promise<string> {
  const file = exclusionFile(caps);
  if (exclusions.length === 0) await rm(file, { force: true });
  else {
    const content: ExclusionFile = { format: FORMAT, version: VERSION, adapter: adapterIdentity(caps), exclusions };
    await writeJson(file, content, EXCLUSIONS, 1);
  }
  return file;
}

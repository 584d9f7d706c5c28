import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseShape, type Shape } from '../../src/checks/shape.ts';

/** A row of `raad bench kernels --json`, as far as the page needs it. */
export interface KernelRow {
  readonly shape: string;
  readonly kernel: string;
  readonly bits: number;
  readonly activations: string;
  readonly variant: string;
  readonly 'median ms': number;
  readonly 'GOP/s': number;
  readonly 'GB/s': number;
  readonly error: number;
  readonly 'executed GOP/s': number;
  readonly 'weight bytes': number;
  readonly 'memory bytes': number;
}

/** What `raad bench kernels --json` writes. */
export interface KernelReport {
  readonly adapter: { readonly description: string; readonly subgroupMaxSize: number };
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: { readonly rounds: number };
  readonly results: readonly KernelRow[];
}

const POSITIVE: Shape = { from: Number.MIN_VALUE, to: Number.MAX_VALUE };
const AT_LEAST_ZERO: Shape = { from: 0, to: Number.MAX_VALUE };
const COUNT: Shape = { least: 0, most: Number.MAX_SAFE_INTEGER };

const REPORT: Shape = {
  fields: {
    adapter: { fields: { description: 'text', subgroupMaxSize: COUNT } },
    versions: { record: 'text' },
    settings: { fields: { rounds: { least: 1, most: Number.MAX_SAFE_INTEGER } } },
    results: {
      list: {
        fields: {
          shape: 'text',
          kernel: 'text',
          bits: COUNT,
          activations: 'text',
          variant: 'text',
          'median ms': POSITIVE,
          'GOP/s': POSITIVE,
          'GB/s': POSITIVE,
          error: AT_LEAST_ZERO,
          'executed GOP/s': AT_LEAST_ZERO,
          'weight bytes': COUNT,
          'memory bytes': COUNT,
        },
      },
      atLeast: 1,
    },
  },
};

/** All reports of a folder, in the order of their names. @throws UserError for a file that is none */
export function readReports(folder: string): KernelReport[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return names.sort().map((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    return parseShape<KernelReport>(text, REPORT, name, 'Write it with `raad bench kernels --json`.');
  });
}

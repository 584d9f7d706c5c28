import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AddedVariants } from '../engine/variants.ts';
import { UserError } from '../errors.ts';

const FIX = 'See docs/adding-a-variant.md.';

/**
 * Variants from a JavaScript module, whose default export is a list of them by op name. The module's code runs.
 * @throws UserError when it cannot be loaded or exports something else
 */
export async function readVariants(file: string): Promise<AddedVariants> {
  let table: unknown;
  try {
    ({ default: table } = await import(pathToFileURL(resolve(file)).href));
  } catch (error) {
    const [reason] = (error as Error).message.split('\n');
    throw new UserError(`the module ${file} cannot be loaded: ${reason}.`, FIX);
  }
  const isTable =
    typeof table === 'object' &&
    table !== null &&
    Object.values(table).every((list) => Array.isArray(list) && list.every(isVariant));
  if (!isTable) throw new UserError(`the default export of ${file} is not a table of variants by op name.`, FIX);
  return table as AddedVariants;
}

function isVariant(value: unknown): boolean {
  const { name, kernel, lower } = (value ?? {}) as Record<string, unknown>;
  return typeof name === 'string' && (typeof kernel === 'function' || typeof lower === 'function');
}

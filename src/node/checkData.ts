import { resolve } from 'node:path';
import type { Dataset, LeftOut } from '../data/dataset.ts';
import { sizesAgree } from '../data/masks.ts';
import { UserError } from '../errors.ts';
import { readImageSize } from './imageSize.ts';

/** What the headers of a data set's files say, before anything is computed. Paths are relative to the data set's root. */
export interface DataCheck {
  /** Images that cannot be read, each with the reason; they are left out. */
  readonly unreadable: readonly LeftOut[];
  /** Images whose mask differs by the rounding of a pixel and is resized. */
  readonly resized: readonly string[];
  /** Masks that cannot be used, each in one sentence: nothing is begun with them. */
  readonly problems: readonly string[];
}

/** Files that are looked at together. */
const TOGETHER = 16;

/**
 * Looks at the headers of a data set's images and masks.
 * @param parts `test`: only what an evaluation reads
 */
export async function checkDataset(
  root: string,
  { train, validation, test }: Dataset,
  parts: 'all' | 'test' = 'all',
  signal?: AbortSignal,
): Promise<DataCheck> {
  const unreadable: LeftOut[] = [];
  const resized: string[] = [];
  const problems: string[] = [];
  const learned = parts === 'all' ? [...train, ...validation].map((image) => ({ image, masks: [] })) : [];
  const seen = new Set<string>();
  const all = [...learned, ...test].filter(({ image }) => !seen.has(image) && seen.add(image));
  const look = (path: string) => readImageSize(resolve(root, path)).catch(asUserError);
  for (let at = 0; at < all.length; at += TOGETHER) {
    signal?.throwIfAborted();
    const some = all.slice(at, at + TOGETHER);
    const sizes = await Promise.all(
      some.map(async ({ image, masks }) => ({
        image,
        masks,
        size: await look(image),
        truth: await Promise.all(masks.map(look)),
      })),
    );
    for (const { image, masks, size, truth } of sizes) {
      if (size instanceof UserError) unreadable.push({ path: image, reason: size.message });
      for (const [k, mask] of truth.entries()) {
        if (mask instanceof UserError) problems.push(`the mask ${mask.message}`);
        else if (size instanceof UserError) continue;
        else if (!sizesAgree(mask, size)) problems.push(otherSize(resolve(root, masks[k]!), mask, size));
        else if (mask.width !== size.width || mask.height !== size.height) resized.push(image);
      }
    }
  }
  return { unreadable, resized: [...new Set(resized)], problems };
}

/** What to say of a mask of another size. */
export function otherSize(
  path: string,
  mask: { readonly width: number; readonly height: number },
  image: { readonly width: number; readonly height: number },
): string {
  return `the mask ${path} is ${mask.width}x${mask.height}, its image ${image.width}x${image.height}.`;
}

/** @throws UserError for the first mask that cannot be used, with the number of the others */
export function assertUsable({ problems }: DataCheck): void {
  const [first, ...others] = problems;
  if (first === undefined) return;
  const more =
    others.length === 0 ? '' : ` So ${others.length === 1 ? 'is one other' : `are ${others.length} others`}.`;
  throw new UserError(
    `${first}${more}`,
    'Mend the mask, without interpolating its values, or remove it. `raad data` lists all that differ.',
  );
}

function asUserError(error: unknown): UserError {
  if (error instanceof UserError) return error;
  throw error;
}

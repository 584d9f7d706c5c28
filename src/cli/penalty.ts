import { basename, resolve } from 'node:path';
import type { Engine } from '../engine/engine.ts';
import { loadImages } from '../node/datasets.ts';
import { imagesBelow } from '../node/files.ts';
import { generatedPenalty, type PenaltySource, photographPenalty } from '../train/penalty.ts';
import type { Arguments } from './arguments.ts';
import { notice } from './withEngine.ts';

/** Photographs for the penalty loss, called like their folder. */
export interface Photographs {
  readonly name: string;
  readonly paths: readonly string[];
}

/** The photographs of `--penalty`, undefined without it. @throws UserError when there are none */
export async function findPhotographs(args: Arguments): Promise<Photographs | undefined> {
  const folder = args.text('penalty');
  if (folder === undefined) return undefined;
  return { name: basename(resolve(folder)), paths: await imagesBelow(folder, notice) };
}

/** Decodes photographs. @param memory bytes of decoded images that may be kept */
export async function loadPhotographs(photographs: Photographs | undefined, memory?: number) {
  if (!photographs) return undefined;
  return { ...(await loadImages(photographs.paths, notice, memory)), name: photographs.name };
}

/** Photographs on a device, or generated pictures. */
export async function openPenalty(
  photographs: Photographs | undefined,
  engine: Engine,
  seed: number,
): Promise<PenaltySource & { destroy?(): void }> {
  const loaded = await loadPhotographs(photographs);
  return loaded ? photographPenalty(engine, loaded, loaded.name) : generatedPenalty(seed);
}

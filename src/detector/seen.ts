import type { ImageSource } from '../data/image.ts';
import { UserError } from '../errors.ts';
import type { RegionOfInterest } from '../imaging/region.ts';
import type { TiledSize } from '../imaging/tiles.ts';
import type { Networks } from '../networks/networks.ts';
import type { DetectorState } from './detectorState.ts';
import type { MapFilter } from './mapFilter.ts';
import { inRegion } from './region.ts';
import type { MapGrid } from './tiling.ts';

/** The grid of a detector's maps. */
export function gridOf({ networks, tiling }: Pick<DetectorState, 'networks' | 'tiling'>): MapGrid {
  return tiling?.grid(networks) ?? { rows: networks.mapSide, columns: networks.mapSide };
}

/** What a new detector is given of its images. */
export interface LooksAt {
  /** The part of all images that it looks at. */
  readonly region?: RegionOfInterest | undefined;
  /** Size in pixels at which images are looked at in tiles. */
  readonly tiles?: TiledSize | undefined;
}

/**
 * The part of its images that a new detector looks at, and whether in tiles.
 * @throws UserError for a region, or a size of tiled images, that is none, or for both
 */
export async function looksAt(
  networks: Networks,
  { region, tiles }: LooksAt,
): Promise<Pick<DetectorState, 'region' | 'tiling'>> {
  if (region) (await import('../imaging/region.ts')).checkRegion(region);
  if (!tiles) return region ? { region } : {};
  const fix = 'Choose the size that the images have, or a smaller one.';
  const { tilingOf } = await import('./tiledChain.ts');
  const tiling = tilingOf(tiles, networks, 'the size of tiled images', fix);
  if (region) throw new UserError('a region is not looked at in tiles.', 'Give one of both.');
  return { tiling };
}

/** @throws UserError for a detector that looks at tiles, where the networks alone are taken */
export function assertWhole({ tiling }: Pick<DetectorState, 'tiling'>, what: string): void {
  if (tiling)
    throw new UserError(
      `the detector looks at tiles: ${what} holds the networks alone, which see whole images.`,
      'Fit one without --tiles.',
    );
}

/** @throws UserError for a filter of maps of one size, that of the networks */
export function assertTileable({ kind }: MapFilter, what = 'the detector'): void {
  if (kind !== 'gaussian')
    throw new UserError(
      `${what} looks at tiles, whose maps do not pass the filter ${kind}.`,
      'Choose the filter gaussian or none.',
    );
}

/** What networks see of images. */
export interface SeenImages {
  /** What teacher and student are compared on. */
  readonly images: ImageSource;
  /** What the autoencoder sees, and the student and, as its target, the teacher with it, where it is something else. */
  readonly wholes?: ImageSource;
}

/** What a detector's networks see of images, for whatever reads them without it. */
export async function seenImages(
  { networks, region, tiling, provenance }: DetectorState,
  source: ImageSource,
  wanted?: number,
): Promise<SeenImages> {
  if (!tiling) return { images: await inRegion(region, source) };
  const draw = { seed: provenance.seed, ...(wanted !== undefined && { wanted }) };
  return { images: tiling.tiles(networks, source, draw), wholes: source };
}

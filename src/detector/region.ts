import type { ImageSource } from '../data/image.ts';
import type { RegionOfInterest } from '../imaging/region.ts';

/** What a detector sees of images, for whatever reads them without it. @param region all of them without one */
export async function inRegion(region: RegionOfInterest | undefined, source: ImageSource): Promise<ImageSource> {
  if (!region) return source;
  const { regionImages } = await import('../imaging/region.ts');
  return regionImages(region, source);
}

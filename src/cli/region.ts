import type { ImageSource } from '../data/image.ts';
import { checkRegion, type Point, type RegionOfInterest } from '../imaging/region.ts';
import { type Arguments, UsageError } from './arguments.ts';

/** The corners of the option --region: `x,y x,y x,y x,y`. @throws UsageError */
export function readCorners(args: Arguments): RegionOfInterest['corners'] | undefined {
  const text = args.text('region');
  if (text === undefined) return undefined;
  const numbers = text
    .trim()
    .split(/[\s,;]+/)
    .map(Number);
  if (numbers.length !== 8 || !numbers.every((value) => Number.isFinite(value)))
    throw new UsageError(
      `--region ${text} is not four points.`,
      'Give x,y of upper left, upper right, lower right and lower left, in pixels: --region "40,30 600,35 590,440 50,430".',
    );
  const corner = (i: number): Point => [numbers[2 * i]!, numbers[2 * i + 1]!];
  return [corner(0), corner(1), corner(2), corner(3)];
}

/** The region with these corners in images of the first one's size. @throws UserError */
export async function regionOf(corners: RegionOfInterest['corners'], images: ImageSource): Promise<RegionOfInterest> {
  const { width, height } = await images.image(0);
  return checkRegion({ width, height, corners }, 'the region of --region');
}

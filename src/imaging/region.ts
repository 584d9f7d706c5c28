import { mat3 } from 'gl-matrix';
import { checkedImage, type ImageSource, type RgbImage } from '../data/image.ts';
import type { Node } from '../engine/graph.ts';
import { quote, UserError } from '../errors.ts';
import type { Homography } from '../kernels/common.ts';
import { imageWarp, warpBytes } from '../kernels/imageWarp.ts';

/** x and y in pixels, from the upper left corner of an image. */
export type Point = readonly [number, number];

/**
 * The part of its images that a detector looks at: a quadrilateral that becomes the networks' square, so that a camera may be
 * turned or look from the side.
 */
export interface RegionOfInterest {
  /** Size of the images that the corners are given in. Images of another size and the same shape have it in proportion. */
  readonly width: number;
  readonly height: number;
  /** Of the square: upper left, upper right, lower right and lower left. Convex, in the image, clockwise. */
  readonly corners: readonly [Point, Point, Point, Point];
}

/** A region in images of one size. */
export interface RegionView {
  /** Size of the region upright, at the image's own resolution. */
  readonly width: number;
  readonly height: number;
  /** From points of the upright region to those of the image. */
  readonly toImage: Homography;
  /** From points of the image to those of the unit square. */
  readonly toUnit: Homography;
}

const FIX =
  'Give its corners as four points in the image: those that become upper left, upper right, lower right and lower left.';

/** @throws UserError for what is no region, such as corners that do not go clockwise around a convex shape */
export function checkRegion(value: unknown, what = 'the region'): RegionOfInterest {
  if (typeof value !== 'object' || value === null) throw new UserError(`${what} is ${quote(value)}.`, FIX);
  const unknown = Object.keys(value).find((field) => !['width', 'height', 'corners'].includes(field));
  if (unknown !== undefined) throw new UserError(`${what} has the unknown field ${quote(unknown)}.`, FIX);
  const { width, height, corners } = value as Partial<RegionOfInterest>;
  for (const side of [width, height]) {
    if (!Number.isSafeInteger(side) || side! < 1)
      throw new UserError(`${what} is one of images of ${quote(width)}x${quote(height)}.`, FIX);
  }
  const isPoint = (point: unknown) =>
    Array.isArray(point) &&
    point.length === 2 &&
    point.every((at, axis) => typeof at === 'number' && at >= 0 && at <= [width!, height!][axis]!);
  if (!Array.isArray(corners) || corners.length !== 4 || !corners.every(isPoint))
    throw new UserError(`${what} has the corners ${quote(corners)}, in images of ${width}x${height}.`, FIX);
  for (const [i, [x, y]] of corners.entries()) {
    const [[x1, y1], [x2, y2]] = [corners[(i + 1) % 4]!, corners[(i + 2) % 4]!];
    if (!(Math.hypot(x1 - x, y1 - y) >= 1))
      throw new UserError(`${what} has corners ${quote(corners)} that nearly coincide.`, FIX);
    if (!((x1 - x) * (y2 - y1) - (x2 - x1) * (y1 - y) > 0))
      throw new UserError(`${what} has corners ${quote(corners)} that do not go clockwise around a convex shape.`, FIX);
  }
  return value as unknown as RegionOfInterest;
}

/** The homography from the unit square to a quadrilateral (Heckbert 1989, section 2.2.3). */
function fromUnitSquare([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]: RegionOfInterest['corners']): Homography {
  const [sx, sy] = [x0 - x1 + x2 - x3, y0 - y1 + y2 - y3];
  const [dx1, dy1, dx2, dy2] = [x1 - x2, y1 - y2, x3 - x2, y3 - y2];
  const area = dx1 * dy2 - dx2 * dy1;
  const g = (sx * dy2 - dx2 * sy) / area;
  const h = (dx1 * sy - sx * dy1) / area;
  return [x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, 1];
}

/** @throws UserError for images of another shape than the region was given in */
export function checkShape(region: RegionOfInterest, width: number, height: number): void {
  const isOff = (scale: number, other: number, extent: number) => Math.abs(scale * other - extent) > 1;
  if (!isOff(width / region.width, region.height, height) || !isOff(height / region.height, region.width, width))
    return;
  throw new UserError(
    `the detector's region is one of images of ${region.width}x${region.height}; this one of ${width}x${height} has another shape.`,
    'Use images of the camera that it was trained on.',
  );
}

/** A region in images, or on maps, of that size. */
export function regionView(region: RegionOfInterest, width: number, height: number): RegionView {
  const [across, down] = [width / region.width, height / region.height];
  const [p0, p1, p2, p3] = region.corners.map(
    ([x, y]): Point => [x * across, y * down],
  ) as unknown as RegionOfInterest['corners'];
  const edge = (a: Point, b: Point) => Math.hypot(b[0] - a[0], b[1] - a[1]);
  const upright = {
    width: Math.max(1, Math.round(Math.max(edge(p0, p1), edge(p3, p2)))),
    height: Math.max(1, Math.round(Math.max(edge(p0, p3), edge(p1, p2)))),
  };
  const unit = fromUnitSquare([p0, p1, p2, p3]);
  const toUnit = mat3.invert([...IDENTITY], [...unit] as mat3)!;
  // Columns are divided rather than multiplied by a reciprocal: steps along an edge of whole pixels are then exactly 1.
  const toImage = unit.map((value, i) => value / [upright.width, upright.height, 1][i % 3]!);
  return { ...upright, toImage, toUnit: [...toUnit] };
}

const IDENTITY: mat3 = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/**
 * The region upright.
 * @param image u32 [1, H, W]
 * @param sourceWidth columns that belong to the image, where rows are padded
 * @returns u32 [1, view.height, view.width]
 */
export function upright(image: Node, { width, height, toImage }: RegionView, sourceWidth: number): Node {
  return imageWarp(image, { width, height, sourceWidth, matrix: toImage }, 'region');
}

/** The same on the host. */
export function uprightOnHost({ data, ...size }: RgbImage, { width, height, toImage }: RegionView): RgbImage {
  const row = 3 * size.width;
  const pixel = (x: number, y: number, c: number) => data[y * row + 3 * x + c]!;
  return { width, height, data: warpBytes({ width, height, matrix: toImage }, size, 3, pixel) };
}

/** Images of which only the region is left, upright: what is not looked at takes no part in what is made from them. */
export function regionImages(region: RegionOfInterest, source: ImageSource): ImageSource {
  return {
    count: source.count,
    paths: source.paths,
    digest: source.digest === undefined ? undefined : `${source.digest} in ${JSON.stringify(region)}`,
    async image(index) {
      const image = checkedImage(await source.image(index));
      checkShape(region, image.width, image.height);
      return uprightOnHost(image, regionView(region, image.width, image.height));
    },
  };
}

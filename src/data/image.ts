import { UserError } from '../errors.ts';

/** 8-bit color image, rows of RGB triples. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] */
  readonly data: Uint8Array;
}

/** Images by index, of any size. */
export interface ImageSource {
  readonly count: number;
  /** Stands for the images' contents, so that a run is not resumed with others. */
  readonly digest?: string | undefined;
  /** Where the images come from, for messages. */
  readonly paths?: readonly string[] | undefined;
  image(index: number): Promise<RgbImage>;
}

/** Middle part of an image. The offset is rounded down, as torchvision's `CenterCrop` does for even differences. */
export function centerCrop({ width, height, data }: RgbImage, cropWidth: number, cropHeight: number): RgbImage {
  const left = Math.floor((width - cropWidth) / 2);
  const top = Math.floor((height - cropHeight) / 2);
  const cropped = new Uint8Array(cropWidth * cropHeight * 3);
  for (let y = 0; y < cropHeight; y++) {
    const from = ((top + y) * width + left) * 3;
    cropped.set(data.subarray(from, from + cropWidth * 3), y * cropWidth * 3);
  }
  return { width: cropWidth, height: cropHeight, data: cropped };
}

/**
 * An image as the kernels take it. Its bytes may lie in an ArrayBuffer, be clamped, or have an alpha channel, which is left out,
 * as those of an ImageData do.
 * @throws UserError that says what was expected
 */
export function checkedImage(image: RgbImage): RgbImage {
  const { width, height } = image;
  const fix = 'Pass { width, height, data } with RGB triples in a Uint8Array, row by row.';
  for (const side of [width, height]) {
    if (!Number.isSafeInteger(side) || side < 1)
      throw new UserError(`an image of ${width}x${height} cannot be used.`, fix);
  }
  const given: unknown = image.data;
  const isBytes = given instanceof Uint8Array || given instanceof Uint8ClampedArray;
  if (!isBytes && !(given instanceof ArrayBuffer)) {
    const kind = given === null || typeof given !== 'object' ? typeof given : given.constructor?.name;
    throw new UserError(`the data of an image of ${width}x${height} is of the kind ${kind}, not bytes.`, fix);
  }
  const data = isBytes ? new Uint8Array(given.buffer, given.byteOffset, given.length) : new Uint8Array(given);
  if (data.length === width * height * 3) return { width, height, data };
  if (data.length !== width * height * 4) {
    throw new UserError(
      `an image of ${width}x${height} has ${data.length} bytes, expected ${width * height * 3}.`,
      'Pass RGB triples, row by row.',
    );
  }
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0, k = 0; i < rgb.length; i += 3, k += 4) {
    rgb[i] = data[k]!;
    rgb[i + 1] = data[k + 1]!;
    rgb[i + 2] = data[k + 2]!;
  }
  return { width, height, data: rgb };
}

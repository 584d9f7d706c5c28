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
  readonly digest?: string;
  /** Where the images come from, for messages. */
  readonly paths?: readonly string[];
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

import type { ImageSource } from '../src/data/image.ts';
import { PLANTED_DEFECTS, plantDefect } from '../src/data/plantedDefects.ts';
import { resizeImage } from '../src/report/canvas.ts';
import type { ComparedPicture } from './comparison.ts';

/** Held-out pictures that are looked at, and their longest side. */
const PICTURES = 3;
const SIDE = 320;

/** Good pictures that were not learned, each followed by itself with a planted defect of another kind. */
export function plantedPictures(heldOut: ImageSource): ComparedPicture[] {
  return Array.from({ length: Math.min(PICTURES, heldOut.count) }, (_, i) => {
    const name = heldOut.paths?.[i] ?? `picture ${i + 1}`;
    const kind = PLANTED_DEFECTS[i % PLANTED_DEFECTS.length]!;
    const good = async () => {
      const image = await heldOut.image(i);
      const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
      return resizeImage(
        image,
        Math.max(1, Math.round(image.width * scale)),
        Math.max(1, Math.round(image.height * scale)),
      );
    };
    return [
      { name, isDefective: false, read: good },
      {
        name: `${name} with a planted ${KINDS[kind]}`,
        isDefective: true,
        read: async () => plantDefect(await good(), kind, i).image,
      },
    ];
  }).flat();
}

const KINDS = { cutPaste: 'patch', texture: 'stain', scratch: 'scratch' } as const;

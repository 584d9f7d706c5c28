import { basename } from 'node:path';
import type { ImageSource, RgbImage } from '../../data/image.ts';
import { safeFileName } from '../../data/names.ts';
import { Detector } from '../../detector/detector.ts';
import { inRegion } from '../../detector/region.ts';
import { UserError } from '../../errors.ts';
import { LAYER_MAP_KINDS, LayerMapReader, placeLayerMap } from '../../hqs/layerMaps.ts';
import { separability } from '../../hqs/scores.ts';
import { Resizer, unpackPixels } from '../../imaging/pixels.ts';
import { encodePng, type Mask, readImage, readMask } from '../../node/images.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { resample } from '../../report/canvas.ts';
import { colorMap, type Panel, renderPanels } from '../../report/panels.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { readModelFile } from '../modelData.ts';
import { printLine } from '../print.ts';
import { inputFiles, withEngine } from '../withEngine.ts';

export async function run(args: Arguments): Promise<void> {
  const [model, file] = args.positionals;
  if (!model || !file) throw new UsageError('attention needs a model and an image.', 'raad attention MODEL IMAGE');
  const kind = args.choice('map', LAYER_MAP_KINDS) ?? 'attention';
  const output = args.text('output') ?? `${safeFileName(basename(file))}.attention.png`;
  const image = await readImage(file);
  const maskFile = args.text('mask');
  const mask = maskFile ? await readMask(maskFile) : undefined;
  const referenceFile = args.text('reference');
  const reference = referenceFile ? await readImage(referenceFile) : image;
  const state = await readModelFile(model);
  if (state.tiling)
    throw new UserError(
      `${model} looks at tiles of an image, and has no maps by layer of the whole.`,
      'Give a model that was fitted without --tiles.',
    );
  await assertWritable(output, [model, file, maskFile, referenceFile, ...inputFiles(args)]);
  await withEngine(args, async (engine) => {
    const detector = new Detector(engine, state);
    const { side } = detector.state.networks;
    const resizer = new Resizer(engine, side);
    const look = async (picture: RgbImage) => (await inRegion(state.region, oneImage(picture))).image(0);
    const pixels = await resizer.resize(await look(image));
    const seen = await look(reference);
    const reader = await LayerMapReader.open(engine, state, kind, [await resizer.resize(seen)]);
    const maps = await reader.read(pixels);
    reader.destroy();
    resizer.destroy();
    const truth = mask && Uint8Array.from(resizedMask(await look(presence(mask)), side));
    const panels: Panel[] = [{ title: 'input', note: `${side} px`, picture: unpackPixels(pixels, side, side) }];
    if (truth) {
      panels.push({ title: 'ground truth', picture: colorMap(truth, side, side, { low: 0, high: 1 }) });
    }
    for (const map of maps) {
      const placed = placeLayerMap(map, side);
      // The hottest tenth of a per cent would leave the rest dark.
      const high = placed.slice().sort()[Math.floor(0.999 * (placed.length - 1))]!;
      const area = truth && separability(map, truth, side);
      printLine(
        `${map.layer}  ${map.width}x${map.height}${area === undefined ? '' : `  separability ${area.toFixed(4)}`}`,
      );
      panels.push({
        title: map.layer,
        note: area === undefined ? `${map.width} x ${map.height}` : `separability ${area.toFixed(3)}`,
        picture: colorMap(placed, side, side, { low: 0, high }),
      });
    }
    await writeAtomically(output, await encodePng(renderPanels(`${basename(file)}: ${kind} maps by layer`, panels)));
    printLine(output);
    detector.destroy();
  });
}

const oneImage = (image: RgbImage): ImageSource => ({ count: 1, image: async () => image });

/** A mask as a picture: white on any defect. */
function presence({ width, height, data }: Mask): RgbImage {
  const bytes = new Uint8Array(3 * data.length);
  for (const [i, value] of data.entries()) bytes.fill(value === 0 ? 0 : 255, 3 * i, 3 * i + 3);
  return { width, height, data: bytes };
}

/** 1 where at least half of a pixel of the network's input is defective. */
function resizedMask({ width, height, data }: RgbImage, side: number): number[] {
  const share = Float32Array.from({ length: width * height }, (_, i) => data[3 * i]! / 255);
  return Array.from(resample(share, width, height, 1, side, side), (value) => (value >= 0.5 ? 1 : 0));
}

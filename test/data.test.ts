import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeBmp } from '../src/data/bmp.ts';
import { type FileTree, splitHeldOut } from '../src/data/dataset.ts';
import { centerCrop } from '../src/data/image.ts';
import { plainDataset, readDatasets } from '../src/data/layouts.ts';
import { UserError } from '../src/errors.ts';
import { UnreadableImageError } from '../src/evaluation/evaluate.ts';
import { Random } from '../src/math/random.ts';
import { loadImages, openDatasets, testSource } from '../src/node/datasets.ts';
import { encodeMaskPng, encodePng, readImage, readMask } from '../src/node/images.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = temporaryFolder();

function tree(files: Readonly<Record<string, string>>): FileTree {
  return { name: '/data/thing', files: Object.keys(files), readText: async (path) => files[path]! };
}

const names = (...paths: string[]) => Object.fromEntries(paths.map((path) => [path, '']));

describe('layouts', () => {
  test('MVTec AD, numbers in their order', async () => {
    const [dataset] = await readDatasets(
      tree(
        names(
          'train/good/10.png',
          'train/good/9.png',
          'train/good/notes.txt',
          'test/good/0.png',
          'test/scratch/0.png',
          'test/scratch/1.png',
          'ground_truth/scratch/0_mask.png',
        ),
      ),
    );
    expect(dataset).toEqual({
      name: 'thing',
      layout: 'mvtec-ad',
      train: ['train/good/9.png', 'train/good/10.png'],
      validation: [],
      test: [
        { image: 'test/good/0.png', defect: 'good', masks: [] },
        { image: 'test/scratch/0.png', defect: 'scratch', masks: ['ground_truth/scratch/0_mask.png'] },
        { image: 'test/scratch/1.png', defect: 'scratch', masks: [] },
      ],
    });
  });

  test('MVTec LOCO: validation split, a mask per defect, saturation', async () => {
    const config = [{ defect_name: 'a', pixel_value: 7, saturation_threshold: 0.5, relative_saturation: true }];
    const [dataset] = await readDatasets(
      tree({
        ...names(
          'train/good/0.png',
          'validation/good/0.png',
          'test/logical_anomalies/0.png',
          'ground_truth/logical_anomalies/0/000.png',
          'ground_truth/logical_anomalies/0/001.png',
        ),
        'defects_config.json': JSON.stringify(config),
      }),
    );
    expect(dataset).toMatchObject({
      layout: 'mvtec-loco',
      validation: ['validation/good/0.png'],
      test: [{ masks: ['ground_truth/logical_anomalies/0/000.png', 'ground_truth/logical_anomalies/0/001.png'] }],
      defects: [{ defectName: 'a', pixelValue: 7, saturationThreshold: 0.5, relativeSaturation: true }],
    });
  });

  test('MVTec 3D: color images only', async () => {
    const [dataset] = await readDatasets(
      tree(
        names(
          'train/good/rgb/0.png',
          'train/good/xyz/0.tiff',
          'validation/good/rgb/0.png',
          'test/hole/rgb/0.png',
          'test/hole/xyz/0.tiff',
          'test/hole/gt/0.png',
        ),
      ),
    );
    expect(dataset).toMatchObject({
      layout: 'mvtec-3d',
      train: ['train/good/rgb/0.png'],
      validation: ['validation/good/rgb/0.png'],
      test: [{ image: 'test/hole/rgb/0.png', defect: 'hole', masks: ['test/hole/gt/0.png'] }],
    });
  });

  const visa = [
    'object,split,label,image,mask',
    'candle,train,normal,candle/Data/Images/Normal/0.JPG,',
    'candle,test,normal,candle/Data/Images/Normal/1.JPG,',
    'candle,test,anomaly,candle/Data/Images/Anomaly/0.JPG,candle/Data/Masks/Anomaly/0.png',
    'pcb1,train,normal,pcb1/Data/Images/Normal/0.JPG,',
  ].join('\n');

  test('VisA by its split', async () => {
    const [candle, pcb] = await readDatasets(tree({ 'split_csv/1cls.csv': visa }));
    expect(pcb!.name).toBe('pcb1');
    expect(candle).toMatchObject({
      name: 'candle',
      layout: 'visa',
      train: ['candle/Data/Images/Normal/0.JPG'],
      test: [
        { defect: 'good', masks: [] },
        { defect: 'anomaly', masks: ['candle/Data/Masks/Anomaly/0.png'] },
      ],
    });
  });

  test('one category of VisA finds the split beside it', async () => {
    const root = writeTree(join(folder, 'visa'), { 'split_csv/1cls.csv': visa, 'candle/image_anno.csv': '' });
    const opened = await openDatasets(join(root, 'candle'));
    expect(opened.root).toBe(root);
    expect(opened.datasets.map(({ name }) => name)).toEqual(['candle']);
  });

  test('a folder of several data sets', async () => {
    const all = await readDatasets(tree(names('b/train/good/0.png', 'a/x/train/good/0.png', 'a/x/test/good/1.png')));
    expect(all.map(({ name, train }) => [name, train])).toEqual([
      ['x', ['a/x/train/good/0.png']],
      ['b', ['b/train/good/0.png']],
    ]);
  });

  test('plain folders', async () => {
    const [plain] = await readDatasets(tree(names('1.jpg', 'more/2.png', 'readme.md')));
    expect(plain).toMatchObject({ layout: 'plain', train: ['1.jpg', 'more/2.png'], test: [] });
    const named = plainDataset('mine', { good: ['g/1.png'], bad: ['b/1.png', 'b/2.png'], masks: ['m/2_mask.png'] });
    expect(named.test.map(({ defect, masks }) => [defect, masks.length])).toEqual([
      ['good', 0],
      ['bad', 0],
      ['bad', 1],
    ]);
  });

  test.each([
    ['nothing', {}],
    ['only test images', names('test/good/0.png')],
  ])('%s is refused', async (_, files) => {
    await expect(readDatasets(tree(files))).rejects.toThrow(UserError);
  });
});

describe('held-out images', () => {
  const train = Array.from({ length: 50 }, (_, i) => `${i}.png`);

  test('a tenth, by seed, apart from the others', () => {
    const a = splitHeldOut({ name: 'x', train, validation: [] }, 1);
    expect(a.heldOut).toHaveLength(5);
    expect([...a.train, ...a.heldOut].sort()).toEqual([...train].sort());
    expect(splitHeldOut({ name: 'x', train, validation: [] }, 1)).toEqual(a);
    expect(splitHeldOut({ name: 'x', train, validation: [] }, 2).heldOut).not.toEqual(a.heldOut);
  });

  test('the validation split where there is one', () => {
    expect(splitHeldOut({ name: 'x', train, validation: ['v'] }, 1)).toEqual({ train, heldOut: ['v'] });
  });

  test.each([[[]], [['one.png']]])('%j is too little', (few) => {
    expect(() => splitHeldOut({ name: 'x', train: few, validation: [] }, 0)).toThrow(UserError);
  });
});

/** [height, width, channels] noise. */
function noise(length: number, seed = 1): Uint8Array {
  const random = new Random(seed);
  return Uint8Array.from({ length }, () => random.integer(256));
}

/** An uncompressed bitmap, from the file format's description. */
function bitmap(
  width: number,
  height: number,
  bits: number,
  rows: Uint8Array,
  palette: Uint8Array = new Uint8Array(0),
) {
  const offset = 54 + palette.length;
  const bytes = new Uint8Array(offset + rows.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  view.setUint32(10, offset, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, width, true);
  view.setInt32(22, height, true);
  view.setUint16(28, bits, true);
  bytes.set(palette, 54);
  bytes.set(rows, offset);
  return bytes;
}

describe('decoding', () => {
  const width = 13;
  const height = 7;
  const rgb = noise(width * height * 3);
  const raw = { raw: { width, height, channels: 3 } } as const;

  test.each(['png', 'webp', 'tiff'] as const)('%s, lossless', async (format) => {
    const file = join(folder, `a.${format}`);
    await sharp(rgb, raw).toFormat(format, { lossless: true, compression: 'lzw' }).toFile(file);
    expect(await readImage(file)).toEqual({ width, height, data: rgb });
  });

  test('alpha is dropped, not blended', async () => {
    const rgba = new Uint8Array(width * height * 4);
    for (let i = 0; i < width * height; i++) rgba.set([...rgb.subarray(3 * i, 3 * i + 3), i % 256], 4 * i);
    const file = join(folder, 'alpha.png');
    await sharp(rgba, { raw: { width, height, channels: 4 } })
      .png()
      .toFile(file);
    expect((await readImage(file)).data).toEqual(rgb);
  });

  test('gray is spread, with 8 and with 16 bits', async () => {
    const gray = noise(width * height);
    const spread = Uint8Array.from({ length: 3 * gray.length }, (_, i) => gray[Math.floor(i / 3)]!);
    const file = join(folder, 'gray.png');
    const channels = { raw: { width, height, channels: 1 } } as const;
    await sharp(gray, channels).toColorspace('b-w').png().toFile(file);
    expect((await readImage(file)).data).toEqual(spread);
    const wide = Uint16Array.from(gray, (value) => value * 257);
    await sharp(wide, channels).toColorspace('grey16').png().toFile(file);
    expect((await sharp(file).metadata()).depth).toBe('ushort');
    expect((await readImage(file)).data).toEqual(spread);
  });

  test('palette', async () => {
    const two = Uint8Array.from({ length: width * height * 3 }, (_, i) => (Math.floor(i / 3) % 3 ? 200 : 30));
    const file = join(folder, 'palette.png');
    await sharp(two, raw).png({ palette: true, colors: 4, dither: 0 }).toFile(file);
    // Color type 3 in the header.
    expect(readFileSync(file)[25]).toBe(3);
    expect((await readImage(file)).data).toEqual(two);
  });

  test('EXIF orientation is applied', async () => {
    const file = join(folder, 'turned.tiff');
    await sharp(rgb, raw).withMetadata({ orientation: 6 }).tiff({ compression: 'lzw' }).toFile(file);
    const image = await readImage(file);
    expect([image.width, image.height]).toEqual([height, width]);
    // A quarter turn clockwise: the lower left corner comes to the upper left.
    const corner = (height - 1) * width * 3;
    expect(image.data.subarray(0, 3)).toEqual(rgb.subarray(corner, corner + 3));
  });

  test.each([
    [1, 4],
    [4, 4],
    [8, 8],
  ])('bitmap with a palette, %i bits', (bits) => {
    const colors = noise(4 * 2 ** bits, 2);
    const rowBytes = Math.ceil((5 * bits) / 32) * 4;
    const rows = noise(rowBytes * 3, 3);
    const { data } = decodeBmp(bitmap(5, 3, bits, rows, colors));
    for (let y = 0; y < 3; y++) {
      for (let x = 0; x < 5; x++) {
        const bit = x * bits;
        const index = (rows[(2 - y) * rowBytes + (bit >> 3)]! >> (8 - bits - (bit & 7))) & (2 ** bits - 1);
        const [b, g, r] = colors.subarray(4 * index);
        expect([...data.subarray((y * 5 + x) * 3).subarray(0, 3)]).toEqual([r, g, b]);
      }
    }
  });

  test('bitmap of 24 bits, top-down and bottom-up', () => {
    const rows = Uint8Array.of(1, 2, 3, 0, 4, 5, 6, 0);
    expect([...decodeBmp(bitmap(1, 2, 24, rows)).data]).toEqual([6, 5, 4, 3, 2, 1]);
    expect([...decodeBmp(bitmap(1, -2, 24, rows)).data]).toEqual([3, 2, 1, 6, 5, 4]);
  });

  test('bitmap of 16 bits', () => {
    expect([...decodeBmp(bitmap(1, 1, 16, Uint8Array.of(0x1f, 0x7c, 0, 0))).data]).toEqual([255, 0, 255]);
  });

  test('damaged files are named', async () => {
    const png = await encodePng({ width, height, data: rgb });
    const broken: Record<string, Uint8Array> = {
      'empty.png': new Uint8Array(0),
      'text.jpg': new TextEncoder().encode('hello'),
      'cut.png': png.subarray(0, 200),
      'cut.bmp': bitmap(50, 50, 24, new Uint8Array(10)),
      'huge.bmp': bitmap(2 ** 30, 2 ** 30, 24, new Uint8Array(10)),
    };
    writeTree(folder, broken);
    for (const name of Object.keys(broken)) {
      await expect(readImage(join(folder, name))).rejects.toThrow(UserError);
      await expect(readImage(join(folder, name))).rejects.toThrow(name);
    }
    await expect(readImage(join(folder, 'missing.png'))).rejects.toThrow(/missing.png cannot be read/);
  });

  test('masks: any channel counts, 16 bits keep small values', async () => {
    const values = Uint16Array.of(0, 1, 300, 0);
    const file = join(folder, 'mask.png');
    await sharp(values, { raw: { width: 2, height: 2, channels: 1 } })
      .toColorspace('grey16')
      .png()
      .toFile(file);
    expect([...(await readMask(file)).data]).toEqual([0, 1, 300, 0]);
    writeFileSync(file, await encodeMaskPng(Uint8Array.of(0, 255, 0, 255), 2, 2));
    expect([...(await readMask(file)).data]).toEqual([0, 255, 0, 255]);
  });

  test('center crop', () => {
    const data = Uint8Array.from({ length: 4 * 3 * 3 }, (_, i) => Math.floor(i / 3));
    expect([...centerCrop({ width: 4, height: 3, data }, 2, 1).data]).toEqual([5, 5, 5, 6, 6, 6]);
  });
});

describe('loading', () => {
  test('what cannot be decoded is left out, and nothing at all is an error', async () => {
    const good = join(folder, 'load.png');
    writeFileSync(good, await encodePng({ width: 2, height: 2, data: noise(12) }));
    const bad = join(folder, 'load-bad.png');
    writeFileSync(bad, 'no image');
    const skipped: string[] = [];
    const loaded = await loadImages([bad, good], (reason) => skipped.push(reason));
    expect(loaded.paths).toEqual([good]);
    expect(skipped).toEqual([expect.stringContaining('load-bad.png cannot be decoded')]);
    await expect(loadImages([bad], () => {})).rejects.toThrow('none of the 1 images could be read.');
  });

  test('ground truth: components, saturation, and a mask of another size', async () => {
    const defect = [{ defect_name: 'a', pixel_value: 255, saturation_threshold: 3, relative_saturation: false }];
    const image = await encodePng({ width: 4, height: 2, data: noise(24) });
    const root = writeTree(join(folder, 'truth'), {
      'train/good/0.png': image,
      'test/good/0.png': image,
      'test/logical_anomalies/0.png': image,
      'test/logical_anomalies/1.png': image,
      'test/logical_anomalies/2.png': 'broken',
      'ground_truth/logical_anomalies/0/000.png': await encodeMaskPng(
        Uint8Array.of(255, 255, 0, 255, 255, 255, 0, 255),
        4,
        2,
      ),
      'ground_truth/logical_anomalies/1/000.png': await encodeMaskPng(new Uint8Array(6), 3, 2),
      'defects_config.json': JSON.stringify(defect),
    });
    const { datasets } = await openDatasets(root);
    const source = testSource(root, datasets[0]!);
    expect([source.count, source.overlap, source.averageKinds]).toEqual([4, 'saturated', true]);
    const first = await source.load(1);
    expect(first.truth!.regions.map(({ pixels, saturation }) => [pixels.length, saturation])).toEqual([[6, 3]]);
    await expect(source.load(2)).rejects.toThrow(/000.png is 3x2, its image 4x2/);
    await expect(source.load(3)).rejects.toThrow(UnreadableImageError);
    // Without the configuration the same mask falls into its components.
    const { defects: _, ...merged } = datasets[0]!;
    const plain = await testSource(root, merged).load(1);
    expect(plain.truth!.regions.map(({ pixels }) => pixels.length)).toEqual([4, 2]);
  });
});

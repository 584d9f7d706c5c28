import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { heatmapFiles } from '../src/cli/evaluation.ts';
import { type Dataset, type FileTree, GOOD } from '../src/data/dataset.ts';
import { findDatasets, namedDataset, readDatasets } from '../src/data/layouts.ts';
import { datasetLine, datasetNotes, leftOutText, metricNotes } from '../src/data/leftOut.ts';
import { resizeNearest, sizesAgree } from '../src/data/masks.ts';
import { belowCommonFolder, distinctEnds, distinctFileNames } from '../src/data/names.ts';
import { assertUsable, checkDataset } from '../src/node/checkData.ts';
import { openDatasets, testSource } from '../src/node/datasets.ts';
import { expandImages, imagesBelow, readFolder } from '../src/node/files.ts';
import { readImageSize } from '../src/node/imageSize.ts';
import { encodeMaskPng, encodePng } from '../src/node/images.ts';
import { openStudySets } from '../src/node/study.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = temporaryFolder();

function tree(files: readonly string[] | Readonly<Record<string, string>>, name = '/data/thing'): FileTree {
  const texts = Array.isArray(files) ? Object.fromEntries(files.map((path) => [path, ''])) : files;
  return {
    name,
    files: Object.keys(texts),
    readText: async (path) => (texts as Record<string, string>)[path]!,
  };
}

const only = async (files: readonly string[] | Readonly<Record<string, string>>) =>
  (await readDatasets(tree(files)))[0]!;
const kinds = ({ test: samples }: Dataset) => samples.map(({ image, defect }) => [image, defect]);
const masksOf = ({ test: samples }: Dataset) =>
  Object.fromEntries(samples.flatMap(({ image, masks }) => (masks.length > 0 ? [[image, masks.join('+')]] : [])));
const leftOf = ({ leftOut = [] }: Dataset) => leftOutText(leftOut);

describe('good and bad by the names of folders', () => {
  test.each([
    ['Train/Good', 'Test/Crack'],
    ['TRAIN/OK', 'TEST/ng'],
    ['train/normal', 'test/abnormal'],
    ['training/defect-free', 'testing/scratch'],
    ['train/No Defect', 'Tests/x'],
  ])('%s is the layout', async (train, bad) => {
    const dataset = await only([`${train}/0.png`, `${bad}/1.png`]);
    expect(dataset).toMatchObject({ layout: 'mvtec-ad', train: [`${train}/0.png`] });
    expect(kinds(dataset)).toEqual([[`${bad}/1.png`, bad.split('/')[1]]]);
    expect(dataset.leftOut).toBeUndefined();
  });

  test.each(['Good', 'good', 'ok', 'OK', 'Normal', 'PASS', 'i.O.', 'defect_free'])('test/%s is good', async (name) => {
    const dataset = await only(['train/good/0.png', `test/${name}/1.png`, 'test/stain/2.png']);
    expect(kinds(dataset).map(([, defect]) => defect)).toEqual([GOOD, 'stain']);
  });

  test('nested images are read in training and test alike', async () => {
    const dataset = await only([
      'train/good/cam0/0.png',
      'train/good/cam1/1.png',
      'test/good/0.png',
      'test/good/cam1/0.png',
      'test/stain/0.png',
      'test/stain/cam1/0.png',
      'ground_truth/stain/0_mask.png',
      'ground_truth/stain/cam1/0_mask.png',
    ]);
    expect(dataset.train).toHaveLength(2);
    expect(kinds(dataset).map(([, defect]) => defect)).toEqual([GOOD, GOOD, 'stain', 'stain']);
    expect(masksOf(dataset)).toEqual({
      'test/stain/0.png': 'ground_truth/stain/0_mask.png',
      'test/stain/cam1/0.png': 'ground_truth/stain/cam1/0_mask.png',
    });
  });

  test('everything that is not used is listed', async () => {
    const dataset = await only([
      'train/good/0.png',
      'train/good/1.gif',
      'train/good/notes.txt',
      'train/good/bad/2.png',
      'train/good/masks/0.png',
      'train/scratch/3.png',
      'train/4.png',
      'test/5.png',
      'test/stain/6.jfif',
      'test/stain/7.JP2',
      'test/stain/8.png',
      'test/stain/8.png.heatmap.png',
      'test/stain/.9.png',
      'test/cam1/good/11.png',
      'test/good/NG/12.png',
      'ground_truth/stain/8.png',
      'ground_truth/stain/77_mask.png',
      'ground_truth/good/0_mask.png',
      'heatmaps/stain/8.png',
      'more/10.png',
      'license.txt',
      'model.safetensors',
    ]);
    expect(dataset.train).toEqual(['train/good/0.png']);
    expect(kinds(dataset)).toEqual([['test/stain/8.png', 'stain']]);
    const reasons = Object.fromEntries(dataset.leftOut!.map(({ path, reason }) => [path, reason]));
    expect(reasons).toEqual({
      'train/good/1.gif': 'of type .gif',
      'train/good/bad/2.png': 'in folders of defects below good',
      'train/good/masks/0.png': 'masks of good images',
      'train/scratch/3.png': 'in train, not in train/good',
      'train/4.png': 'in train, not in train/good',
      'test/5.png': 'in test, without a kind',
      'test/stain/6.jfif': 'of type .jfif',
      'test/stain/7.JP2': 'of type .jp2',
      'test/stain/8.png.heatmap.png': 'pictures that this program wrote',
      'test/cam1/good/11.png': 'in folders of good images below a kind of defect',
      'test/good/NG/12.png': 'in folders of defects below good',
      'ground_truth/stain/77_mask.png': 'masks without an image',
      'ground_truth/good/0_mask.png': 'masks of good images',
      'heatmaps/stain/8.png': 'pictures that this program wrote',
      'more/10.png': 'outside of train, test and ground_truth',
    });
  });

  test('a category without train/good is named, as is what lies between the others', async () => {
    const { datasets, leftOut } = await findDatasets(
      tree([
        'a/train/good/0.png',
        'b/test/crack/0.png',
        'b/ground_truth/crack/0.png',
        'c/train/0.png',
        'd/0.png',
        'e.gif',
      ]),
    );
    expect(datasets.map(({ name }) => name)).toEqual(['a']);
    expect(leftOutText(leftOut)).toBe(
      'in b, which has no train/good: 2 (b/ground_truth/crack/0.png, b/test/crack/0.png); ' +
        'in c, which has no train/good: 1 (c/train/0.png); outside of the data sets: 1 (d/0.png); of type .gif: 1 (e.gif)',
    );
    await expect(findDatasets(tree(['b/test/crack/0.png', 'b/test/good/1.png']))).rejects.toThrow(
      '/data/thing holds no good images: neither train/good nor images of its own (left out: in b/test: 2',
    );
    await expect(findDatasets(tree(['train/good/0.gif']))).rejects.toThrow(/of type .gif: 1 \(train\/good\/0.gif\)/);
  });

  test('data sets of one name get as much of their path as tells them apart', async () => {
    const at = (path: string) => `${path}/train/good/0.png`;
    const names = async (...paths: string[]) => (await readDatasets(tree(paths.map(at)))).map(({ name }) => name);
    expect(await names('lineA/cam1', 'lineB/cam1', 'lineB/cam2')).toEqual(['lineA/cam1', 'lineB/cam1', 'cam2']);
    expect(await names('x/a/CAM', 'x/b/cam')).toEqual(['a/CAM', 'b/cam']);
    expect(await names('cam', 'x/cam', 'y/x/cam')).toEqual(['cam', 'x/cam', 'y/x/cam']);
    expect(distinctEnds(['a/b', 'a/b'])).toEqual(['a/b', 'a/b']);
  });

  test('a data set within another keeps its files', async () => {
    const all = await readDatasets(tree(['train/good/0.png', 'more/train/good/1.png', 'more/test/x/2.png']));
    expect(all.map(({ name, train, test: samples }) => [name, train.length, samples.length])).toEqual([
      ['thing', 1, 0],
      ['more', 1, 1],
    ]);
  });
});

describe('plain folders learn nothing that is not good', () => {
  test('a folder called good beside others', async () => {
    const toy = await only(['good/0.png', 'good/1.png', 'crack/0.png', 'mask/crack/0.png', '9.png']);
    expect(toy).toMatchObject({ layout: 'plain', train: ['good/0.png', 'good/1.png'], test: [] });
    expect(leftOf(toy)).toBe(
      'in mask: 1 (mask/crack/0.png); beside good: 1 (9.png); in crack, beside good: 1 (crack/0.png)',
    );
  });

  test.each(['bad', 'NG', 'Defect', 'anomalies', 'not_ok', 'Masks', 'Ground Truth', 'GT', 'labels', 'abnormal'])(
    'a folder called %s',
    async (name) => {
      const dataset = await only(['0.png', 'cam1/1.png', `${name}/2.png`, `cam1/${name}/deep/3.png`]);
      expect(dataset.train).toEqual(['0.png', 'cam1/1.png']);
      expect(dataset.leftOut!.map(({ path }) => path).sort()).toEqual(
        [`${name}/2.png`, `cam1/${name}/deep/3.png`].sort(),
      );
    },
  );

  test('heat maps of earlier runs', async () => {
    const dataset = await only([
      '0.png',
      '0.png.heatmap.png',
      '0.png.heatmap.png.heatmap.png',
      'a.attention.png',
      'heatmaps/good/0.png',
      'gallery/0001-image.webp',
    ]);
    expect(dataset.train).toEqual(['0.png']);
    expect(leftOf(dataset)).toMatch(/^pictures that this program wrote: 5 /);
  });

  test('masks beside images say that not all are good', async () => {
    await expect(only(['0.png', '0_GT.png', '1.png'])).rejects.toThrow(
      /holds masks beside its images, such as 0_GT.png/,
    );
    // A name alone is none.
    expect((await only(['0.png', 'ski_mask.jpg'])).train).toHaveLength(2);
    expect((await only(['good/0.png', 'good/0_mask.png'])).train).toEqual(['good/0.png']);
  });

  test('folders with other names are taken, and said', async () => {
    const dataset = await only(['crack/0.png', 'parts/1.png']);
    expect(dataset.train).toHaveLength(2);
    expect(datasetNotes(dataset)).toEqual(['thing: all 2 images of 2 folders are taken as good: crack, parts.']);
    expect(datasetNotes(await only(['NG_1.png', 'good_2.png', 'singing.png']))).toEqual([
      'thing: 1 images are called like defects and taken as good (NG_1.png).',
    ]);
  });

  test.each([[['1.png', 'test/crack/0.png']], [['test/good/0.png']], [['bad/0.png']], [['0.png.heatmap.png']]])(
    '%j is refused',
    async (files) => {
      await expect(only(files)).rejects.toThrow(/holds no good images/);
    },
  );
});

describe('masks', () => {
  const set = (images: string[], masks: string[]) =>
    only(['train/good/0.png', ...images.map((path) => `test/${path}`), ...masks]);

  test.each([
    'ground_truth/stain/0.png',
    'ground_truth/stain/0_mask.png',
    'ground_truth/stain/0_MASK.bmp',
    'ground_truth/stain/0_GT.png',
    'ground_truth/stain/0-gt.tif',
    'ground_truth/stain/0_label.png',
    'ground_truth/stain/mask_0.png',
    'ground_truth/stain/0.png.png',
    'ground_truth/0_mask.png',
    'Ground_Truth/Stain/0_mask.PNG',
    'GroundTruth/stain/0.png',
    'ground-truth/test/stain/0_gt.png',
    'gt/stain/0.png',
    'masks/stain/0.png',
    'mask/0.png',
    'test/stain/0_mask.png',
    'test/stain/gt/0.png',
    'test/masks/stain/0.png',
    'ground_truth/stain/0/000.png',
  ])('%s', async (mask) => {
    expect(masksOf(await set(['stain/0.png', 'good/0.png', 'stain/1.png'], [mask]))).toEqual({
      'test/stain/0.png': mask,
    });
  });

  test('a number in two folders has two masks', async () => {
    const dataset = await set(
      ['a/000.png', 'b/000.png'],
      ['ground_truth/a/000_mask.png', 'ground_truth/b/000_mask.png'],
    );
    expect(masksOf(dataset)).toEqual({
      'test/a/000.png': 'ground_truth/a/000_mask.png',
      'test/b/000.png': 'ground_truth/b/000_mask.png',
    });
  });

  test('a mask is not taken for the image of another kind', async () => {
    const dataset = await set(['b/000.png', 'b/001.png'], ['ground_truth/a/000_mask.png', 'ground_truth/b/001.png']);
    expect(masksOf(dataset)).toEqual({ 'test/b/001.png': 'ground_truth/b/001.png' });
    expect(leftOf(dataset)).toBe('masks without an image: 1 (ground_truth/a/000_mask.png)');
    expect(datasetNotes(dataset)).toEqual([
      'thing: 1 of 2 defective images have no mask and are not in the pixel metrics (test/b/000.png).',
    ]);
  });

  test.each([
    [['a/0.png', 'b/0.png'], ['ground_truth/0_mask.png'], /0_mask.png fits both test\/a\/0.png and test\/b\/0.png/],
    [['a/0.png', 'a/0.jpg'], ['ground_truth/a/0_mask.png'], /0_mask.png fits both test\/a\/0.jpg and test\/a\/0.png/],
    [
      ['a/0.png'],
      ['ground_truth/a/0.png', 'ground_truth/a/0_mask.png'],
      /more than one mask: .*0_mask.png and .*0.png/,
    ],
    [['a/0.png'], ['ground_truth/a/0_GT.png', 'ground_truth/a/0_mask.png'], /more than one mask/],
    [['a/0.png'], ['masks/a/0.png', 'ground_truth/a/0.png'], /more than one mask/],
    [['a/0.png'], ['ground_truth/a/0/000.png', 'ground_truth/a/0_mask.png'], /more than one mask/],
    [['a/0.png'], ['ground_truth/x/a/0.png', 'ground_truth/y/a/0.png'], /more than one mask/],
  ])('%j with %j is refused', async (images, masks, message) => {
    await expect(set(images, masks)).rejects.toThrow(message);
  });

  test('named folders: by place, flat, beside the images', () => {
    const named = (bad: string[], masks?: string[]) =>
      namedDataset('mine', {
        good: tree(['0.png', 'bad/1.png'], '/g'),
        bad: tree(bad, '/b'),
        masks: masks && tree(masks, '/m'),
      });
    const both = named(['a/0.png', 'b/0.png'], ['a/0_mask.png', 'b/0_mask.png']);
    expect(masksOf(both)).toEqual({ '/b/a/0.png': '/m/a/0_mask.png', '/b/b/0.png': '/m/b/0_mask.png' });
    expect(both.train).toEqual(['/g/0.png']);
    expect(leftOf(both)).toBe('in bad: 1 (/g/bad/1.png)');
    expect(masksOf(named(['a/0.png', 'b/1.png'], ['0.png', '1_GT.png', '2.png']))).toEqual({
      '/b/a/0.png': '/m/0.png',
      '/b/b/1.png': '/m/1_GT.png',
    });
    expect(() => named(['0.png'], ['a/0.png', 'b/0.png'])).toThrow(/more than one mask: \/m\/a\/0.png and \/m\/b/);
    expect(() => named(['a/0.png', 'b/0.png'], ['0.png'])).toThrow(/fits both \/b\/a\/0.png and \/b\/b\/0.png/);
    const beside = named(['0.png', '0_mask.png', 'good/7.png', 'masks/1.png', '1.png']);
    expect(masksOf(beside)).toEqual({ '/b/0.png': '/b/0_mask.png', '/b/1.png': '/b/masks/1.png' });
    expect(leftOf(beside)).toMatch(/in folders of good images below --bad: 1 \(\/b\/good\/7.png\)/);
    expect(() => named(['0.gif'])).toThrow('the folder /b holds no images.');
  });

  test('folders within each other: an image is good, bad or a mask', () => {
    const all = ['0.png', 'crack/1.png', 'crack/1_mask.png'];
    const dataset = namedDataset('mine', { good: tree(all, '/d'), bad: tree(['1.png', '1_mask.png'], '/d/crack') });
    expect(dataset.train).toEqual(['/d/0.png']);
    expect(masksOf(dataset)).toEqual({ '/d/crack/1.png': '/d/crack/1_mask.png' });
  });
});

describe('lists that come with data sets', () => {
  const head = 'object,split,label,image,mask';
  const row = (split: string, label: string, image: string, mask = '') => `cup,${split},${label},${image},${mask}`;
  const visa = (text: string) => only({ 'split_csv/1cls.csv': text });

  test('VisA with backslashes, a byte order mark, semicolons and capitals', async () => {
    const rows = [row('train', 'normal', 'cup\\N\\0.JPG'), row('Test', 'Anomaly', 'cup\\A\\1.JPG', 'cup\\M\\1.png')];
    for (const text of [
      [head, ...rows].join('\r\n'),
      `\uFEFF${['Object,Split,Label,Image,Mask', ...rows].join('\n')}`,
    ]) {
      for (const each of [text, text.replaceAll(',', ';'), text.replaceAll(',', '\t')]) {
        expect(await visa(each)).toEqual({
          name: 'cup',
          layout: 'visa',
          train: ['cup/N/0.JPG'],
          validation: [],
          test: [{ image: 'cup/A/1.JPG', defect: 'anomaly', masks: ['cup/M/1.png'] }],
        });
      }
    }
  });

  test.each([
    ['cup,test,anomaly', /line 3/],
    [row('test', 'normal', 'cup/2.p"ng'), /line 3/],
    [row('test', 'odd', 'cup/2.png'), /line 3: \{"object":"cup"/],
    [row('train', 'anomaly', 'cup/2.png'), /trains on an anomaly, line 3/],
    [row('test', 'normal', '../../2.png'), /line 3/],
    [row('test', 'normal', '/etc/2.png'), /line 3/],
  ])('VisA: %j is refused with its line', async (bad, message) => {
    await expect(visa([head, row('train', 'normal', 'cup/0.png'), bad].join('\n'))).rejects.toThrow(message);
  });

  test('VisA without its split', async () => {
    await expect(only(['cup/image_anno.csv', 'cup/Data/Images/Normal/0.png'])).rejects.toThrow(/1cls.csv is missing/);
    await expect(visa(head)).rejects.toThrow(/lists no images/);
  });

  const defect = { defect_name: 'a', pixel_value: 7, saturation_threshold: 0.5, relative_saturation: true };
  const loco = (text: string) =>
    only({ 'train/good/0.png': '', 'test/logical_anomalies/0.png': '', 'defects_config.json': text });

  test("LOCO's configuration with a byte order mark, and what is no JSON", async () => {
    expect((await loco(`\uFEFF${JSON.stringify([defect])}`)).defects).toHaveLength(1);
    for (const text of ['', '[1', 'NaN']) await expect(loco(text)).rejects.toThrow('defects_config.json is not JSON.');
  });

  test.each([
    [{}, 'no usable value at the top', 'a list'],
    [[null], 'no usable value at 0', 'an object'],
    [[{ ...defect, defect_name: 5 }], 'no usable value at 0.defect_name', 'text, not 5'],
    [[{ ...defect, pixel_value: '7' }], 'no usable value at 0.pixel_value', 'a whole number from 1 to 65535'],
    [[{ ...defect, pixel_value: 0 }], 'no usable value at 0.pixel_value', 'a whole number'],
    [[{ ...defect, pixel_value: true }], 'no usable value at 0.pixel_value', 'a whole number'],
    [[{ ...defect, saturation_threshold: '0.5' }], 'no usable value at 0.saturation_threshold', 'a number'],
    [[{ ...defect, saturation_threshold: null }], 'no usable value at 0.saturation_threshold', 'a number'],
    [[{ ...defect, saturation_threshold: -1 }], 'no usable value at 0.saturation_threshold', 'a number'],
    [[{ ...defect, saturation_threshold: 0 }], 'has the saturation threshold 0 at 0', 'above 0'],
    [[{ ...defect, saturation_threshold: 2 }], 'has the saturation threshold 2 at 0', 'a share of up to 1'],
    [[defect, { ...defect, pixel_value: 8, relative_saturation: 'false' }], '1.relative_saturation', 'true or false'],
    [[defect, { ...defect, defect_name: 'b' }], 'has the pixel value 7 at both 0 and 1', 'Restore'],
  ])("LOCO's configuration %j is refused", async (config, message, fix) => {
    const refused = loco(JSON.stringify(config));
    await expect(refused).rejects.toThrow(`defects_config.json has`);
    await expect(refused).rejects.toMatchObject({
      message: expect.stringContaining(message),
      fix: expect.stringContaining(fix),
    });
  });
});

describe('what is said', () => {
  test('one line for each data set', async () => {
    const dataset = await only(['train/good/0.png', 'test/ok/1.png', 'test/a/2.png', 'test/b/3.png', 'gt/a/2.png']);
    expect(datasetLine(dataset)).toBe(
      'thing: 2 good (1 to learn from, 1 to test), 2 bad of 2 kinds, masks for 1, left out: nothing',
    );
    expect(datasetLine(dataset, [{ path: 'test/a/2.png', reason: '' }])).toMatch(
      /left out: that cannot be read: 1 \(test\/a\/2.png\)$/,
    );
    expect(metricNotes(dataset)).toEqual([]);
    expect(metricNotes(await only(['train/good/0.png', 'test/a/2.png']))).toEqual([
      'thing has no good test images, only a: no AUROC. Good ones belong into test/good.',
    ]);
    expect(metricNotes(await only(['train/good/0.png', 'test/good/2.png']))).toEqual([
      'thing has no defective test images: no AUROC and no AU-PRO.',
    ]);
  });

  test('a file name for each input', () => {
    expect(distinctFileNames(['a/b/c.png', 'a_b/c.png', 'x_c.png', 'x/c.png', 'y/c.png'])).toEqual([
      'a_b_c.png',
      'a_b_c-2.png',
      'x_c.png',
      'x_c-2.png',
      'y_c.png',
    ]);
    expect(distinctFileNames(['x/c.png', '../x/c.png', './C.PNG', 'd.png'])).toEqual([
      'x_c.png',
      'x_c-2.png',
      'C.PNG',
      'd.png',
    ]);
    const sample = (image: string, defect: string) => ({ image, defect, masks: [] });
    const files = heatmapFiles([
      sample('test/good/0.png', 'good'),
      sample('test/ok/0.png', 'good'),
      sample('test/a/0.png', 'a'),
      sample('test/a/1.png', 'a'),
      sample('test/a/1.jpg', 'a'),
      sample('test/a/cam/1.jpg', 'a'),
    ]);
    expect(files).toEqual([
      'good/good_0.png.png',
      'good/ok_0.png.png',
      'a/0.png',
      'a/1.png.png',
      'a/1.jpg.png',
      'a/cam_1.jpg.png',
    ]);
    const hostile = ['../..', '/', 'Hole', 'hole', 'con', 'x\n'].map((kind) => sample('test/x/0.png', kind));
    const safe = heatmapFiles(hostile);
    expect(new Set(safe.map((file) => file.toLowerCase())).size).toBe(hostile.length);
    for (const file of safe) expect(file).toMatch(/^([\w-]+\/)?[\w-]+\.png$/);
    expect(belowCommonFolder(['a/b/0.png', 'a/b/c/1.png', 'a/b2/2.png'])).toEqual(['b/0.png', 'b/c/1.png', 'b2/2.png']);
  });
});

describe('on disk', async () => {
  const image = await encodePng({ width: 40, height: 33, data: new Uint8Array(40 * 33 * 3) });
  const mask = (width: number, height: number) =>
    encodeMaskPng(new Uint8Array(width * height).fill(255), width, height);

  test('headers are looked at before any work', async () => {
    const root = writeTree(join(folder, 'headers'), {
      'train/good/0.png': image,
      'test/a/0.png': image,
      'test/a/1.png': image,
      'test/a/2.png': 'no image',
      'test/a/3.png': image,
      'ground_truth/a/0_mask.png': await mask(40, 32),
      'ground_truth/a/1_mask.png': await mask(33, 40),
      'ground_truth/a/3_mask.png': 'no mask',
    });
    const { datasets } = await openDatasets(root);
    const check = await checkDataset(root, datasets[0]!);
    expect(check.unreadable.map(({ path }) => path)).toEqual(['test/a/2.png']);
    expect(check.resized).toEqual(['test/a/0.png']);
    expect(check.problems).toEqual([
      `the mask ${join(root, 'ground_truth/a/1_mask.png')} is 33x40, its image 40x33.`,
      expect.stringMatching(/3_mask.png cannot be decoded/),
    ]);
    expect(() => assertUsable(check)).toThrow(/its image 40x33. So is one other./);
    // A pixel of rounding is filled from the nearest.
    const { truth } = await testSource(root, datasets[0]!).load(0);
    expect(truth!.mask).toEqual(new Uint8Array(40 * 33).fill(255));
  });

  test('sizes', async () => {
    const size = (width: number, height: number) => ({ width, height });
    expect(sizesAgree(size(384, 256), size(384, 257))).toBe(true);
    expect(sizesAgree(size(3, 2), size(4, 2))).toBe(false);
    expect(sizesAgree(size(384, 255), size(384, 257))).toBe(false);
    expect([...resizeNearest(Uint8Array.of(1, 2, 3, 4), size(2, 2), size(3, 3))]).toEqual([1, 2, 2, 3, 4, 4, 3, 4, 4]);
    expect([...resizeNearest(Uint16Array.of(1, 300), size(2, 1), size(2, 2))]).toEqual([1, 300, 1, 300]);
    writeTree(folder, { 'os2.bmp': bitmap(12), 'windows.bmp': bitmap(40), 'cut.bmp': bitmap(40).subarray(0, 20) });
    expect(await readImageSize(join(folder, 'os2.bmp'))).toEqual(size(7, 5));
    expect(await readImageSize(join(folder, 'windows.bmp'))).toEqual(size(7, 5));
    await expect(readImageSize(join(folder, 'cut.bmp'))).rejects.toThrow(/no whole header/);
    await expect(readImageSize(folder)).rejects.toThrow(/is no file/);
  });

  test.skipIf(process.platform === 'win32')('folders and files with a line end in their names are read', async () => {
    const root = writeTree(join(folder, 'lines'), {
      'a\nb/train/good/0.png': image,
      'a\nb/train/good/c\rd/1.png': image,
      'plain/2\n.png': image,
      '.hidden/3.png': image,
    });
    symlinkSync('..', join(root, 'plain/up'));
    symlinkSync('../a\nb/train', join(root, 'plain/linked'));
    symlinkSync('nowhere', join(root, 'plain/4.png'));
    const { files } = await readFolder(root);
    expect([...files].sort()).toEqual([
      'a\nb/train/good/0.png',
      'a\nb/train/good/c\rd/1.png',
      'plain/2\n.png',
      'plain/linked/good/0.png',
      'plain/linked/good/c\rd/1.png',
    ]);
    rmSync(join(root, 'plain/up'));
    const { datasets } = await openDatasets(join(root, 'a\nb'));
    expect(datasets.map(({ train }) => train.length)).toEqual([2]);
    const said: string[] = [];
    const found = await expandImages([`${root}/**/*.png`], (message) => said.push(message));
    expect(found.map((path) => path.slice(root.length))).toEqual(['/plain/2\n.png', '/plain/linked/good/0.png']);
    expect(said).toEqual([
      expect.stringMatching(/finds nothing in folders with a line end in their names: "a\\nb", .*c\\rd"; name them/),
    ]);
    said.length = 0;
    expect(await expandImages([`${root}/*/*.png`, join(root, 'a\nb')], (message) => said.push(message))).toHaveLength(
      3,
    );
    expect(said).toEqual([]);
  });

  test('patterns from anywhere; pictures of earlier runs are left out', async () => {
    const root = writeTree(join(folder, 'places'), {
      'photos/1.png': image,
      'photos/2.png': image,
      'photos/2.png.heatmap.png': image,
      'photos/3.gif': 'GIF',
      '.cache/x/4.png': image,
      'odd [1]/5.png': image,
    });
    mkdirSync(join(root, 'inside'));
    const before = process.cwd();
    process.chdir(join(root, 'inside'));
    const said: string[] = [];
    const names = async (...patterns: string[]) => expandImages(patterns, (message) => said.push(message));
    try {
      expect(await names('../photos/*.png')).toEqual(['../photos/1.png', '../photos/2.png']);
      expect(said).toEqual(['left out of ../photos/*.png: pictures that this program wrote: 1 (2.png.heatmap.png).']);
      expect(await names(`${root}/photos/?.png`)).toEqual([`${root}/photos/1.png`, `${root}/photos/2.png`]);
      expect(await names(`${root}/.cache/x/*.png`)).toHaveLength(1);
      expect(await names(`${root}/odd [1]/*.png`)).toHaveLength(1);
      expect(await names('../**/5.png', '../../places/photos/{1,2}.png')).toHaveLength(3);
      expect(await names('../photos/1.png', `${root}/photos/1.png`, '../inside/../photos/1.png')).toHaveLength(1);
      expect(await names('../photos/2.png.heatmap.png')).toHaveLength(1);
      await expect(names('../**/4.png')).rejects.toThrow(/matches no image/);
      said.length = 0;
      expect(await imagesBelow('../photos', (message) => said.push(message))).toHaveLength(2);
      expect(said[0]).toMatch(/pictures that this program wrote: 1 .*; of type .gif: 1 \(3.gif\)/);
    } finally {
      process.chdir(before);
    }
  });

  test('options that do not go together', async () => {
    await expect(openDatasets(folder, { masks: folder })).rejects.toThrow(/--masks was given without --bad/);
    await expect(openDatasets(undefined, { good: folder, masks: folder })).rejects.toThrow(/without --bad/);
    await expect(openDatasets(folder, { good: folder })).rejects.toThrow(/both DATA and --good/);
  });

  test('sets of a study have names of their own', async () => {
    const set = { 'train/good/0.png': image, 'test/good/0.png': image };
    for (const path of ['x/cubes', 'y/cubes', 'all/lineA/cam1', 'all/lineB/cam1']) writeTree(join(folder, path), set);
    const names = async (...paths: string[]) =>
      (await openStudySets(paths.map((path) => join(folder, path)))).map(({ name }) => name);
    expect(await names('x/cubes', 'y/cubes')).toEqual(['x-cubes', 'y-cubes']);
    expect(await names('all')).toEqual(['lineA-cam1', 'lineB-cam1']);
    expect(await names('x', 'all/lineA')).toEqual(['cubes', 'cam1']);
    await expect(names('x/cubes', 'x')).rejects.toThrow(/was given twice/);
  });
});

/** The beginning of a bitmap of 7 x 5, top-down where that can be said. */
function bitmap(headerSize: 12 | 40): Uint8Array {
  const bytes = new Uint8Array(60);
  const view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  view.setUint32(14, headerSize, true);
  if (headerSize === 12) {
    view.setUint16(18, 7, true);
    view.setUint16(20, 5, true);
  } else {
    view.setInt32(18, 7, true);
    view.setInt32(22, -5, true);
  }
  return bytes;
}

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { plantDefect } from '../src/data/plantedDefects.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { encodeMaskPng, encodePng } from '../src/node/images.ts';
import { commandLine } from './support/commandLine.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const { raad, ok } = commandLine(folder);
const TINY = ['--size', 'xs', '--resolution', '128', '--iterations', '2', '--batch', '1'];

const SIDE = 64;
const part = (i: number) => renderSpecimen('biscuit', undefined, i, SIDE).image;
const goods = await Promise.all([0, 1, 2, 3, 4].map((i) => encodePng(part(i))));
const bads = await Promise.all(
  [5, 6].map(async (i) => {
    const { image, mask } = plantDefect(part(i), 'scratch', i);
    return {
      image: await encodePng(image),
      mask: await encodeMaskPng(
        mask.map((value) => 255 * value),
        SIDE,
        SIDE,
      ),
    };
  }),
);
const good = (i: number) => goods[i]!;
const bad = (i: number) => bads[i]!.image;
const mask = (i: number) => bads[i]!.mask;

writeTree(at('set'), {
  'Train/Good/cam0/0.png': good(0),
  'Train/Good/1.png': good(1),
  'Train/Good/2.png': good(2),
  'Test/OK/3.png': good(3),
  'Test/Stain/a/0.png': bad(0),
  'Test/Stain/b/0.png': bad(1),
  'Ground_Truth/Stain/a/0_GT.png': mask(0),
  'Ground_Truth/Stain/b/0_MASK.png': mask(1),
  'Test/Stain/9.gif': 'GIF89a',
});
ok('fit', 'set', '-o', 'model.safetensors', ...TINY);

/** A mistake of the user, found before any work: no adapter is opened, nothing is written. */
function expectRefusal(args: readonly string[], message: RegExp): void {
  const before = readdirSync(folder);
  const { status, stdout, stderr } = raad(...args);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stderr).not.toMatch(/^adapter: /m);
  expect(stdout).toBe('');
  expect(status).toBe(1);
  expect(readdirSync(folder)).toEqual(before);
}

describe('raad data and --dry-run', () => {
  const line = /set: 4 good \(3 to learn from, 1 to test\), 2 bad of 1 kind, masks for 2, left out: of type .gif: 1/;

  test('a table without a GPU', () => {
    const outputs = [
      ['data', 'set'],
      ['fit', 'set', '--dry-run'],
      ['eval', 'model.safetensors', 'set', '--dry-run'],
      ['run', 'set', '--dry-run'],
    ].map((args) => ok(...args));
    for (const { stdout, stderr } of outputs) {
      expect(stdout).toMatch(/set +mvtec-ad +3 +0 +1 +2 +1 +2 +1 +0/);
      expect(stdout).toMatch(line);
      expect(stdout).toMatch(/Stain: 2 images, masks for 2/);
      expect(stderr).not.toMatch(/adapter/);
    }
    expect(new Set(outputs.map(({ stdout }) => stdout)).size).toBe(1);
  });

  test('JSON names every file', () => {
    const report = JSON.parse(ok('data', 'set', '--json').stdout);
    expect(JSON.parse(ok('fit', 'set', '--dry-run', '--json').stdout)).toEqual(report);
    const [set] = report.datasets;
    expect(set.train).toEqual(['Train/Good/1.png', 'Train/Good/2.png', 'Train/Good/cam0/0.png']);
    expect(set.test[1]).toEqual({
      image: 'Test/Stain/a/0.png',
      defect: 'Stain',
      masks: ['Ground_Truth/Stain/a/0_GT.png'],
    });
    expect(set.leftOut).toEqual([{ path: 'Test/Stain/9.gif', reason: 'of type .gif' }]);
  });

  test('says what a command would refuse, all of it', async () => {
    const small = await encodeMaskPng(new Uint8Array(50), 10, 5);
    writeTree(at('wrong'), {
      'train/good/0.png': good(0),
      'train/good/1.png': good(1),
      'test/a/0.png': bad(0),
      'test/a/1.png': bad(1),
      'ground_truth/a/0.png': small,
      'ground_truth/a/1.png': small,
    });
    const { status, stdout } = raad('data', 'wrong');
    expect(status).toBe(1);
    expect(stdout.match(/is 10x5, its image 64x64/g)).toHaveLength(2);
    const message = /raad: the mask .*0.png is 10x5, its image 64x64. So is one other./;
    expectRefusal(['fit', 'wrong', '-o', 'wrong.safetensors', ...TINY], message);
    expectRefusal(['eval', 'model.safetensors', 'wrong'], message);
    expectRefusal(['run', 'wrong', '-o', 'wrong.run', ...TINY], message);
    expectRefusal(['study', 'wrong', '--out', 'wrong.study', ...TINY], message);
  });
});

describe('fit', () => {
  test('learns the good images of a plain folder, and says what it leaves out', () => {
    writeTree(at('toy'), {
      ...Object.fromEntries(goods.map((image, i) => [`good/${i}.png`, image])),
      'crack/0.png': bad(0),
      'mask/crack/0.png': mask(0),
      'good/0.png.heatmap.png': good(0),
    });
    const { stderr } = ok('fit', 'toy', '-o', 'toy.safetensors', ...TINY);
    expect(stderr).toMatch(/toy: 5 good, .*in mask: 1 \(mask\/crack\/0.png\).*in crack, beside good: 1/);
    expect(stderr).toMatch(/toy: 4 good images to train on, 1 held out/);
  });

  test('two data sets of one name get a model each', () => {
    for (const line of ['lineA', 'lineB'])
      writeTree(at('lines', line, 'cam1'), {
        'train/good/0.png': good(0),
        'train/good/1.png': good(1),
        'test/good/2.png': good(2),
        'test/a/0.png': bad(0),
      });
    ok('fit', 'lines', '-o', 'models', ...TINY);
    expect(readdirSync(at('models/lineA'))).toEqual(['cam1.safetensors']);
    expect(readdirSync(at('models/lineB'))).toEqual(['cam1.safetensors']);
    const { stdout } = ok('eval', 'models', 'lines', '--json', '--out', 'lines.results');
    expect(Object.keys(JSON.parse(stdout))).toEqual(['lineA/cam1', 'lineB/cam1']);
    expect(existsSync(at('lines.results/lineA/cam1/metrics.json'))).toBe(true);
    expectRefusal(
      ['eval', 'models', 'lines', '--category', 'cam1'],
      /there are 2 data sets 'cam1'. Use one of: lineA\/cam1, lineB\/cam1/,
    );
    expect(ok('eval', 'models', 'lines', '--category', 'lineB/cam1').stdout).toMatch(/^lineB\/cam1$/m);
    rmSync(at('models/lineB'), { recursive: true });
    expectRefusal(['eval', 'models', 'lines'], /lineB\/cam1.safetensors cannot be read: it does not exist/);
  });

  test('a batch is bounded', () => {
    expectRefusal(
      ['fit', 'set', '-o', 'x.safetensors', ...TINY, '--batch', '100000'],
      /batch 100000 cannot be used. At most 256/,
    );
  });
});

describe('eval', () => {
  test('named folders: masks by place, one heat map for each image', () => {
    writeTree(at('named'), {
      'good/0.png': good(3),
      'good/more/0.png': good(4),
      'bad/a/0.png': bad(0),
      'bad/b/0.png': bad(1),
      'masks/a/0_mask.png': mask(0),
      'masks/b/0_mask.png': mask(1),
    });
    const folders = ['--good', 'named/good', '--bad', 'named/bad', '--masks', 'named/masks'];
    const { stdout, stderr } = ok('eval', 'model.safetensors', ...folders, '--out', 'named.results', '--json');
    expect(stderr).toMatch(/good: 2 good, 2 bad of 1 kind, masks for 2, left out: nothing/);
    expect(readdirSync(at('named.results/heatmaps/good'))).toHaveLength(2);
    expect(readdirSync(at('named.results/heatmaps/bad'))).toEqual(['a_0.png.png', 'b_0.png.png']);
    // The same images in a layout give the same figures.
    writeTree(at('same'), {
      'train/good/0.png': good(0),
      'test/good/0.png': good(3),
      'test/good/1.png': good(4),
      'test/bad/0.png': bad(0),
      'test/bad/1.png': bad(1),
      'ground_truth/bad/0_mask.png': mask(0),
      'ground_truth/bad/1_mask.png': mask(1),
    });
    const same = JSON.parse(ok('eval', 'model.safetensors', 'same', '--json').stdout);
    expect(same['same']).toEqual(JSON.parse(stdout)['good']);
    writeTree(at('named'), { 'flat/0_mask.png': mask(0) });
    expectRefusal(
      ['eval', 'model.safetensors', '--bad', 'named/bad', '--masks', 'named/flat'],
      /flat\/0_mask.png fits both .*bad\/a\/0.png and .*bad\/b\/0.png/,
    );
    expectRefusal(['eval', 'model.safetensors', 'set', '--masks', 'named/flat'], /--masks was given without --bad/);
  });

  test('an image that fails is named, the others are evaluated', () => {
    writeTree(at('failing'), {
      'train/good/0.png': good(0),
      'test/good/0.png': good(3),
      'test/good/1.png': 'no image',
      'test/bad/0.png': bad(0),
      'test/bad/1.png': bad(1).subarray(0, -200),
      'ground_truth/bad/0_mask.png': mask(0),
      'ground_truth/bad/1_mask.png': mask(1),
    });
    const { status, stdout, stderr } = raad('eval', 'model.safetensors', 'failing', '--out', 'failing.results');
    expect(status).toBe(1);
    expect(stderr).toMatch(/left out: that cannot be read: 1 \(test\/good\/1.png\)/);
    expect(stderr).toMatch(/left out: .*test\/bad\/1.png cannot be decoded/);
    expect(stderr).toMatch(/raad: 2 images could not be evaluated/);
    expect(stdout).toMatch(/1 good and 1 defective images/);
    expect(readFileSync(at('failing.results/scores.csv'), 'utf8').trim().split('\r\n')).toHaveLength(3);
    expect(readdirSync(at('failing.results/heatmaps/bad'))).toEqual(['0.png']);
  });

  test('a list that cannot be read is a sentence', () => {
    const head = 'object,split,label,image,mask\ncup,train,normal,cup/0.png,\n';
    writeTree(folder, {
      'ragged/split_csv/1cls.csv': `${head}cup,test,anomaly\n`,
      'quote/split_csv/1cls.csv': `${head}cup,test,normal,cup/1.p"ng,\n`,
    });
    for (const name of ['ragged', 'quote'])
      expectRefusal(['eval', 'model.safetensors', name], /^raad: split_csv\/1cls.csv cannot be read: .*line 3/m);
  });
});

describe('predict', () => {
  test('as many heat maps as images', () => {
    const paths = ['a/b/c.png', 'a_b/c.png', 'x_c.png', 'x/c.png', 'y/c.png'];
    writeTree(at('many'), Object.fromEntries(paths.map((path) => [path, good(0)])));
    const { stdout } = commandLine(at('many')).ok('predict', '../model.safetensors', ...paths, '--out', 'out');
    const files = readdirSync(at('many/out'));
    expect(files).toHaveLength(5);
    expect(new Set(stdout.match(/(?<=-> out\/).+/g))).toEqual(new Set(files));
  });

  test('its heat maps do not become inputs, and patterns reach outside', () => {
    writeTree(at('photos'), { '0.png': good(0), '1.png': good(1) });
    const inside = commandLine(at('photos'));
    inside.ok('predict', '../model.safetensors', '.');
    expect(inside.ok('predict', '../model.safetensors', '.', '--json').stderr).toMatch(
      /left out of .: pictures that this program wrote: 2 \(0.png.heatmap.png, 1.png.heatmap.png\)/,
    );
    expect(readdirSync(at('photos'))).toHaveLength(4);
    mkdirSync(at('work'));
    const scored = commandLine(at('work')).ok('predict', '../model.safetensors', '../photos/*.png', '--no-heatmap');
    expect(scored.stdout.match(/score/g)).toHaveLength(2);
    expect(inside.ok('data', '.').stdout).toMatch(/photos: 2 good, .*pictures that this program wrote: 2/);
  });

  test('a heat map does not replace an image that is to be scored', () => {
    writeTree(at('twins'), { 'a.png': good(0), 'a.png.heatmap.png': good(1) });
    const { status, stderr } = commandLine(at('twins')).raad(
      'predict',
      '../model.safetensors',
      'a.png',
      'a.png.heatmap.png',
    );
    expect(stderr).toMatch(/a\.png\.heatmap\.png would replace a file that this command reads/);
    expect(status).toBe(1);
  });

  test('goes on after an image that fails', () => {
    writeTree(at('broken'), { '0.png': good(0), '1.png': 'no image', '2.png': good(1) });
    const { status, stdout, stderr } = raad('predict', 'model.safetensors', 'broken', '--out', 'broken.maps');
    expect(status).toBe(1);
    expect(stdout.match(/score/g)).toHaveLength(2);
    expect(stderr).toMatch(/left out: .*1.png cannot be decoded/);
    expect(stderr).toMatch(/raad: 1 of 3 images were left out. They are named above/);
    expect(readdirSync(at('broken.maps'))).toEqual(['0.png.heatmap.png', '2.png.heatmap.png']);
  });
});

test('run without defects says so', () => {
  writeTree(at('flawless'), {
    'train/good/0.png': good(0),
    'train/good/1.png': good(1),
    'test/good/2.png': good(2),
    'test/good/3.png': good(3),
  });
  const { stderr, stdout } = ok('run', 'flawless', '-o', 'flawless.run', ...TINY, '--recalibrate-iterations', '1');
  expect(stderr).toMatch(/note: flawless has no defective test images: no AUROC and no AU-PRO/);
  expect(stderr).toMatch(/^float: no AUROC, which needs good and defective test images/m);
  expect(stderr).not.toMatch(/0\.00 AUROC/);
  expect(stdout).toMatch(/float +- +-/);
  const { stdout: table } = ok('eval', 'flawless.run/float.safetensors', 'flawless');
  expect(table).toMatch(/% false alarms, - % of defects missed/);
  writeFileSync(at('flawless/test/good/2.png'), 'broken');
  expect(raad('eval', 'flawless.run/float.safetensors', 'flawless').status).toBe(1);
}, 600_000);

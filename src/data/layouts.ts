import { parse } from 'csv-parse/sync';
import { UserError } from '../errors.ts';
import { type Dataset, type DefectConfig, type FileTree, GOOD, type TestSample } from './dataset.ts';

const IMAGE_FILE = /\.(png|jpe?g|webp|bmp|tiff?)$/i;
const VISA_SPLIT = 'split_csv/1cls.csv';

export function isImageFile(path: string): boolean {
  return IMAGE_FILE.test(path) && !path.split('/').some((part) => part.startsWith('.'));
}

/**
 * All categories below a root: a single one in the layout of MVTec AD, LOCO or 3D, a folder of such categories, VisA with its
 * split, or a plain folder of good images.
 * @throws UserError when nothing of it is there
 */
export async function readDatasets(tree: FileTree): Promise<Dataset[]> {
  if (tree.files.includes(VISA_SPLIT)) return readVisa(tree);
  const roots = new Set<string>();
  for (const file of tree.files) {
    const match = /^(.*?\/)?train\/good\//.exec(file);
    if (match && isImageFile(file)) roots.add(match[1] ?? '');
  }
  if (roots.size > 0) return Promise.all([...roots].sort().map((root) => readMvtec(tree, root)));
  const images = tree.files.filter((file) => isImageFile(file)).sort(naturally);
  const only = tree.files.some((file) => /^test\//.test(file));
  if (images.length === 0 || only) {
    throw new UserError(
      `${tree.name} holds no good images: neither train/good nor images of its own.`,
      'Point to a folder in the layout of MVTec AD, LOCO, 3D or VisA, to a folder of such folders, or to a folder of good images.',
    );
  }
  return [{ name: lastPart(tree.name), layout: 'plain', train: images, validation: [], test: [] }];
}

/** Compares paths with numbers by value, so that 2.png comes before 10.png, the same in every locale. */
export function naturally(a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : Number(a > b));
}
const collator = new Intl.Collator('en', { numeric: true });

/** MVTec AD, LOCO and 3D below `root`, which is empty or ends with a slash. */
async function readMvtec(tree: FileTree, root: string): Promise<Dataset> {
  const files = tree.files
    .filter((file) => file.startsWith(root))
    .map((file) => file.slice(root.length))
    .sort(naturally);
  const images = files.filter(isImageFile);
  const is3d = images.some((file) => file.startsWith('train/good/rgb/'));
  const inFolder = (folder: string) => images.filter((file) => file.startsWith(folder)).map((file) => root + file);
  const good = (split: string) => inFolder(`${split}/good/${is3d ? 'rgb/' : ''}`);
  const masks = indexMasks(images);
  const test: TestSample[] = [];
  for (const image of images) {
    const match = is3d ? /^test\/([^/]+)\/rgb\/([^/]+)$/.exec(image) : /^test\/([^/]+)\/([^/]+)$/.exec(image);
    if (!match) continue;
    const [, defect, file] = match;
    const found = defect === GOOD ? [] : (masks.get(`${defect}/${stem(file!)}`) ?? []);
    test.push({ image: root + image, defect: defect!, masks: found.map((mask) => root + mask) });
  }
  const config = files.includes('defects_config.json')
    ? parseDefects(await tree.readText(`${root}defects_config.json`), `${root}defects_config.json`)
    : undefined;
  const isLoco = config !== undefined || test.some(({ defect }) => /^(logical|structural)_anomalies$/.test(defect));
  return {
    name: lastPart(root) || lastPart(tree.name),
    layout: is3d ? 'mvtec-3d' : isLoco ? 'mvtec-loco' : 'mvtec-ad',
    train: good('train'),
    validation: good('validation'),
    test,
    ...(config && { defects: config }),
  };
}

/** Mask files by `<defect>/<image's stem>`, over the places where the MVTec data sets keep them. */
function indexMasks(images: readonly string[]): Map<string, string[]> {
  const masks = new Map<string, string[]>();
  for (const file of images) {
    const match =
      /^ground_truth\/([^/]+)\/([^/]+)\/[^/]+$/.exec(file) ?? // LOCO: a folder per image, a file per defect
      /^ground_truth\/([^/]+)\/([^/]+?)(?:_mask)?\.[^.]+$/.exec(file) ?? // AD, merged LOCO
      /^test\/([^/]+)\/gt\/([^/]+)\.[^.]+$/.exec(file); // 3D
    if (!match) continue;
    const key = `${match[1]}/${match[2]}`;
    const list = masks.get(key);
    if (list) list.push(file);
    else masks.set(key, [file]);
  }
  return masks;
}

function parseDefects(text: string, name: string): DefectConfig[] {
  try {
    return (JSON.parse(text) as Record<string, unknown>[]).map((entry) => ({
      defectName: String(entry['defect_name']),
      pixelValue: Number(entry['pixel_value']),
      saturationThreshold: Number(entry['saturation_threshold']),
      relativeSaturation: Boolean(entry['relative_saturation']),
    }));
  } catch {
    throw new UserError(`${name} is not the JSON list that MVTec LOCO comes with.`, 'Restore the original file.');
  }
}

/** VisA by the split that its paper evaluates (one-class): a row per image. */
async function readVisa(tree: FileTree): Promise<Dataset[]> {
  const rows: Record<string, string>[] = parse(await tree.readText(VISA_SPLIT), {
    columns: true,
    skip_empty_lines: true,
    trim: true,
    bom: true,
  });
  const categories = new Map<string, { train: string[]; test: TestSample[] }>();
  for (const row of rows) {
    const { object, split, label, image, mask } = row;
    if (!object || !image || !/^(train|test)$/.test(split ?? '') || !/^(normal|anomaly)$/.test(label ?? '')) {
      throw new UserError(
        `${VISA_SPLIT} has a row that cannot be read: ${JSON.stringify(row)}.`,
        'Use the file that VisA comes with: columns object, split, label, image, mask.',
      );
    }
    if (!categories.has(object)) categories.set(object, { train: [], test: [] });
    const category = categories.get(object)!;
    if (split === 'train') category.train.push(image);
    else category.test.push({ image, defect: label === 'normal' ? GOOD : 'anomaly', masks: mask ? [mask] : [] });
  }
  return [...categories].map(([name, { train, test }]) => ({ name, layout: 'visa', train, validation: [], test }));
}

/** A data set from folders that a user names: images in them at any depth, masks by the image's file name. */
export function plainDataset(
  name: string,
  files: { readonly good: readonly string[]; readonly bad?: readonly string[]; readonly masks?: readonly string[] },
): Dataset {
  const masks = new Map<string, string>();
  for (const mask of files.masks ?? []) masks.set(stem(lastPart(mask)).replace(/_mask$/, ''), mask);
  const good = [...files.good].sort(naturally);
  const bad = [...(files.bad ?? [])].sort(naturally).map((image): TestSample => {
    const mask = masks.get(stem(lastPart(image)));
    return { image, defect: 'bad', masks: mask ? [mask] : [] };
  });
  const test = [...good.map((image): TestSample => ({ image, defect: GOOD, masks: [] })), ...bad];
  return { name, layout: 'plain', train: good, validation: [], test };
}

function stem(file: string): string {
  return file.replace(/\.[^.]+$/, '');
}

function lastPart(path: string): string {
  return path.replace(/\/+$/, '').split('/').pop()!;
}

import { parseShape, type Shape } from '../checks/shape.ts';
import { UserError } from '../errors.ts';
import { type Dataset, type DefectConfig, type FileTree, GOOD, type LeftOut, type TestSample } from './dataset.ts';
import { leftOutText } from './leftOut.ts';
import { matchMasks, type Placed, splitMasksBeside } from './masks.ts';
import {
  belowCommonFolder,
  distinctEnds,
  endingOf,
  isBad,
  isGood,
  isHidden,
  isImageFile,
  isLabelFolder,
  isMaskFolder,
  isOwnPicture,
  isRgb,
  isTest,
  isTrain,
  isValidation,
  lastPart,
  mayBeImage,
  naturally,
} from './names.ts';
import { readVisa, VISA_SPLIT } from './visa.ts';

/** Data sets and what lies between them. */
export interface FoundDatasets {
  readonly datasets: readonly Dataset[];
  /** Files that belong to none of the data sets. */
  readonly leftOut: readonly LeftOut[];
}

/**
 * All categories below a root: a single one in the layout of MVTec AD, LOCO or 3D, a folder of such categories, VisA with its
 * split, or a plain folder of good images. Names of folders count in any case and with their usual synonyms.
 * @throws UserError when nothing of it is there, or masks are ambiguous
 */
export async function readDatasets(tree: FileTree): Promise<Dataset[]> {
  return [...(await findDatasets(tree)).datasets];
}

/** {@link readDatasets}, with the files that lie outside of every data set. @throws UserError */
export async function findDatasets(tree: FileTree): Promise<FoundDatasets> {
  if (tree.files.includes(VISA_SPLIT)) return { datasets: await readVisa(tree), leftOut: [] };
  const annotated = tree.files.find((file) => /(^|\/)image_anno\.csv$/.test(file));
  if (annotated) {
    throw new UserError(
      `${tree.name} looks like VisA (${annotated}), but its ${VISA_SPLIT} is missing.`,
      'Keep the folder split_csv beside the categories.',
    );
  }
  const files = tree.files.filter((file) => !isHidden(file)).sort(naturally);
  const roots = new Map<string, string[]>();
  for (const file of files) {
    const root = isImageFile(file) && !isOwnPicture(file) ? layoutRoot(file) : undefined;
    if (root !== undefined) roots.set(root, []);
  }
  if (roots.size === 0) return { datasets: [readPlain(tree.name, files)], leftOut: [] };
  const between: string[] = [];
  for (const file of files) (roots.get(nearestRoot(file, roots) ?? '/') ?? between).push(file);
  const folders = [...roots.keys()].sort();
  const names = distinctEnds(folders.map((root) => root || lastPart(tree.name)));
  const datasets = await Promise.all(
    folders.map((root, i) => readMvtec(tree, { root, name: names[i]!, files: roots.get(root)! })),
  );
  return { datasets, leftOut: between.flatMap(leftBetween) };
}

/** What lies before `train/good` in a path, with a slash; undefined for paths without it. */
function layoutRoot(file: string): string | undefined {
  const parts = file.split('/');
  const at = parts.findIndex((part, i) => i < parts.length - 2 && isTrain(part) && isGood(parts[i + 1]));
  return at < 0
    ? undefined
    : parts
        .slice(0, at)
        .map((part) => `${part}/`)
        .join('');
}

/** The innermost data set that a file lies in. */
function nearestRoot(file: string, roots: ReadonlyMap<string, unknown>): string | undefined {
  for (let end = file.lastIndexOf('/'); end >= 0; end = end === 0 ? -1 : file.lastIndexOf('/', end - 1)) {
    if (roots.has(file.slice(0, end + 1))) return file.slice(0, end + 1);
  }
  return roots.has('') ? '' : undefined;
}

/** Why a file that belongs to no data set of a collection is left out. */
function leftBetween(path: string): LeftOut[] {
  if (!isImageFile(path)) return otherType(path);
  const parts = path.split('/');
  const at = parts.findIndex(
    (part, i) => i < parts.length - 1 && (isTrain(part) || isTest(part) || isMaskFolder(part)),
  );
  if (at < 0) return [{ path, reason: 'outside of the data sets' }];
  const category = parts.slice(0, at).join('/') || 'the folder itself';
  return [{ path, reason: `in ${category}, which has no train/good` }];
}

function otherType(path: string): LeftOut[] {
  return mayBeImage(path) ? [{ path, reason: `of type ${endingOf(path)}` }] : [];
}

interface MvtecFiles {
  /** Empty, or ends with a slash. */
  readonly root: string;
  readonly name: string;
  /** All of the data set, from the tree's own root, in order. */
  readonly files: readonly string[];
}

/** MVTec AD, LOCO and 3D. */
async function readMvtec(tree: FileTree, { root, name, files }: MvtecFiles): Promise<Dataset> {
  const leftOut: LeftOut[] = [];
  const good: Record<'train' | 'validation', Placed[]> = { train: [], validation: [] };
  const test: (Placed & { readonly kind: string })[] = [];
  const masks: Placed[] = [];
  const parts = (path: string) => path.slice(root.length).split('/');
  const is3d = files.some((file) => isImageFile(file) && hasRgb(parts(file)));
  for (const path of files) {
    const leave = (reason: string) => leftOut.push({ path, reason });
    if (!isImageFile(path)) leftOut.push(...otherType(path));
    else if (isOwnPicture(path.slice(root.length))) leave('pictures that this program wrote');
    else {
      const [top, kind, ...rest] = parts(path);
      const inner = rest.slice(0, -1);
      const split = isTrain(top) ? 'train' : isValidation(top) ? 'validation' : undefined;
      if (split && !(isGood(kind) && rest.length > 0)) leave(`in ${top}, not in ${top}/good`);
      else if (split && is3d && !isRgb(inner[0])) leave('beside rgb');
      else if (split && inner.some(isMaskFolder)) leave('masks of good images');
      else if (split && inner.some(isBad)) leave('in folders of defects below good');
      else if (split) good[split].push({ path, folders: inner });
      else if (isMaskFolder(top)) masks.push({ path, folders: maskFolders([kind!, ...rest].slice(0, -1)) });
      else if (!isTest(top)) leave('outside of train, test and ground_truth');
      else if (isMaskFolder(kind)) masks.push({ path, folders: maskFolders(inner) });
      else if (rest.length === 0) leave('in test, without a kind');
      else if (is3d && isMaskFolder(inner[0])) masks.push({ path, folders: [kind!, ...inner.slice(1)] });
      else if (is3d && !isRgb(inner[0])) leave('beside rgb');
      else if (isGood(kind) && inner.some(isBad)) leave('in folders of defects below good');
      else if (!isGood(kind) && inner.some(isGood)) leave('in folders of good images below a kind of defect');
      else if (inner.some((part) => isMaskFolder(part) || isLabelFolder(part)))
        masks.push({ path, folders: [kind!, ...inner.filter((part) => !isMaskFolder(part) && !isLabelFolder(part))] });
      else test.push({ path, kind: kind!, folders: [kind!, ...(is3d ? inner.slice(1) : inner)] });
    }
  }
  const split = (images: readonly Placed[]) => {
    const found = splitMasksBeside(images);
    for (const { path } of found.masks) leftOut.push({ path, reason: 'masks of good images' });
    return found.images.map(({ path }) => path);
  };
  const [train, validation] = [split(good.train), split(good.validation)];
  const tested = splitMasksBeside(test);
  const matched = matchTest(tested.images, [...masks, ...tested.masks]);
  for (const each of matched.leftOut) leftOut.push(each);
  const defects = files.includes(`${root}defects_config.json`)
    ? parseDefects(await tree.readText(`${root}defects_config.json`), `${root}defects_config.json`)
    : undefined;
  const isLoco = defects || matched.test.some(({ defect }) => /^(logical|structural)_anomalies$/i.test(defect));
  return {
    name,
    layout: is3d ? 'mvtec-3d' : isLoco ? 'mvtec-loco' : 'mvtec-ad',
    train,
    validation,
    test: matched.test,
    defects,
    folder: root ? root.slice(0, -1) : undefined,
    leftOut: leftOut.length > 0 ? leftOut : undefined,
  };
}

/** Whether a path below a data set is `train/good/rgb/...`, as in MVTec 3D. */
function hasRgb([split, kind, rgb, ...rest]: readonly string[]): boolean {
  return isTrain(split) && isGood(kind) && isRgb(rgb) && rest.length > 0;
}

/** Folders of a mask below `ground_truth` without those that say so again: `test`, `mask`. */
function maskFolders(folders: readonly string[]): string[] {
  return folders.filter((part, i) => !isMaskFolder(part) && !(i === 0 && (isTest(part) || isTrain(part))));
}

/** Test images with their masks, and the masks that are not used. */
function matchTest(
  images: readonly (Placed & { readonly kind: string })[],
  masks: readonly Placed[],
): { readonly test: TestSample[]; readonly leftOut: readonly LeftOut[] } {
  const matched = matchMasks(
    images.filter(({ kind }) => !isGood(kind)),
    masks.filter(({ folders }) => !isGood(folders[0])),
  );
  return {
    test: images.map(({ path, kind }) =>
      isGood(kind)
        ? { image: path, defect: GOOD, masks: [] }
        : { image: path, defect: kind, masks: matched.masks.get(path) ?? [] },
    ),
    leftOut: [
      ...masks
        .filter(({ folders }) => isGood(folders[0]))
        .map(({ path }) => ({ path, reason: 'masks of good images' })),
      ...matched.unmatched.map((path) => ({ path, reason: 'masks without an image' })),
    ],
  };
}

/** LOCO's `defects_config.json`. Masks have up to 16 bits, and 0 is no defect. */
const DEFECTS: Shape = {
  list: {
    fields: {
      defect_name: 'text',
      pixel_value: { least: 1, most: 2 ** 16 - 1 },
      saturation_threshold: { from: 0, to: Number.MAX_VALUE },
      relative_saturation: 'truth value',
    },
  },
};

interface DefectEntry {
  readonly defect_name: string;
  readonly pixel_value: number;
  readonly saturation_threshold: number;
  readonly relative_saturation: boolean;
}

const DEFECTS_FIX = 'Restore the original file.';

/** @throws UserError for what is no such file, or leaves a choice */
function parseDefects(text: string, name: string): DefectConfig[] {
  const entries = parseShape<DefectEntry[]>(text.replace(/^\uFEFF/, ''), DEFECTS, name, DEFECTS_FIX);
  const defects = entries.map(
    (entry): DefectConfig => ({
      defectName: entry.defect_name,
      pixelValue: entry.pixel_value,
      saturationThreshold: entry.saturation_threshold,
      relativeSaturation: entry.relative_saturation,
    }),
  );
  for (const [i, { pixelValue, saturationThreshold, relativeSaturation }] of defects.entries()) {
    if (saturationThreshold === 0 || (relativeSaturation && saturationThreshold > 1))
      throw new UserError(
        `${name} has the saturation threshold ${saturationThreshold} at ${i}.`,
        `It has to be above 0, and a share of up to 1 where it is relative. ${DEFECTS_FIX}`,
      );
    const first = defects.findIndex((other) => other.pixelValue === pixelValue);
    if (first < i)
      throw new UserError(`${name} has the pixel value ${pixelValue} at both ${first} and ${i}.`, DEFECTS_FIX);
  }
  return defects;
}

/**
 * A folder of good images without a layout. Nothing is learned that its place or name says otherwise of: folders of defects,
 * masks and tests, all beside a folder called good, and pictures that this program wrote.
 * @throws UserError when nothing is left, or images have masks beside them
 */
function readPlain(name: string, files: readonly string[]): Dataset {
  const { images, leftOut } = goodImages(files, name);
  const test = leftOut.some(({ path }) => isTest(path.split('/')[0]));
  if (images.length === 0 || (test && !images.some((path) => path.split('/').slice(0, -1).some(isGood)))) {
    const why = leftOut.length > 0 ? ` (left out: ${leftOutText(leftOut)})` : '';
    throw new UserError(
      `${name} holds no good images: neither train/good nor images of its own${why}.`,
      'Point to a folder in the layout of MVTec AD, LOCO, 3D or VisA, to a folder of such folders, or to a folder of good images.',
    );
  }
  const all = { name: lastPart(name), layout: 'plain', train: images, validation: [], test: [] } as const;
  return leftOut.length > 0 ? { ...all, leftOut } : all;
}

/** Good images among the files of a folder, and all else. @throws UserError for images that have masks beside them */
function goodImages(
  files: readonly string[],
  name: string,
): { readonly images: string[]; readonly leftOut: readonly LeftOut[] } {
  const leftOut: LeftOut[] = files.flatMap(otherType);
  const candidates: string[] = [];
  for (const path of files.filter(isImageFile)) {
    const folders = path.split('/').slice(0, -1);
    const at = folders.findIndex((part) => isBad(part) || isMaskFolder(part) || isLabelFolder(part) || isTest(part));
    if (isOwnPicture(path)) leftOut.push({ path, reason: 'pictures that this program wrote' });
    else if (at >= 0) leftOut.push({ path, reason: `in ${folders.slice(0, at + 1).join('/')}` });
    else candidates.push(path);
  }
  const isInGood = (path: string) => path.split('/').slice(0, -1).some(isGood);
  const named = candidates.some(isInGood);
  for (const path of named ? candidates.filter((each) => !isInGood(each)) : []) {
    const folders = path.split('/').slice(0, -1);
    leftOut.push({ path, reason: folders.length > 0 ? `in ${folders.join('/')}, beside good` : 'beside good' });
  }
  const { images, masks } = splitMasksBeside(
    (named ? candidates.filter(isInGood) : candidates).map((path): Placed => ({ path, folders: [] })),
  );
  if (masks.length > 0 && !named) {
    throw new UserError(
      `${name} holds masks beside its images, such as ${masks[0]!.path}, and does not say which images are good.`,
      'Put good images into train/good, the others into test/KIND and masks into ground_truth/KIND.',
    );
  }
  for (const { path } of masks) leftOut.push({ path, reason: 'masks of good images' });
  return { images: images.map(({ path }) => path), leftOut };
}

/** Folders that a user names, each with the files below it. */
export interface NamedFolders {
  readonly good?: FileTree | undefined;
  readonly bad?: FileTree | undefined;
  readonly masks?: FileTree | undefined;
}

/**
 * A data set from folders that a user names: images in them at any depth, masks by their place below the folder of masks.
 * All paths begin with the folders' names.
 * @throws UserError for a folder without images, or ambiguous masks
 */
export function namedDataset(name: string, folders: NamedFolders): Dataset {
  const { good, bad } = folders;
  // Masks may lie beside their images.
  const masks = folders.masks?.name === bad?.name ? undefined : folders.masks;
  const leftOut: LeftOut[] = [];
  const join = (tree: FileTree, path: string) => `${tree.name.replace(/\/+$/, '')}/${path}`;
  const listed = (tree: FileTree) => tree.files.filter((file) => !isHidden(file)).sort(naturally);
  const place = (tree: FileTree, path: string): Placed => ({
    path: join(tree, path),
    folders: path
      .split('/')
      .slice(0, -1)
      .filter((part) => !isMaskFolder(part)),
  });
  const leave = (tree: FileTree, path: string, reason: string) => leftOut.push({ path: join(tree, path), reason });
  const imagesOf = (tree: FileTree) =>
    listed(tree).filter((path) => {
      for (const { reason } of otherType(path)) leave(tree, path, reason);
      if (!isImageFile(path)) return false;
      if (isOwnPicture(path)) leave(tree, path, 'pictures that this program wrote');
      return !isOwnPicture(path);
    });
  const isAround = masks && bad?.name.startsWith(`${masks.name}/`);
  let maskFiles = (masks ? imagesOf(masks) : [])
    .map((path) => place(masks!, path))
    .filter(({ path }) => !isAround || !path.startsWith(`${bad!.name}/`));
  let badImages: readonly Placed[] = [];
  if (bad) {
    const isMask = new Set(maskFiles.map(({ path }) => path));
    const images: Placed[] = [];
    const beside: Placed[] = [];
    for (const path of imagesOf(bad)) {
      const parts = path.split('/').slice(0, -1);
      if (isMask.has(join(bad, path))) continue;
      if (parts.some(isGood)) leave(bad, path, 'in folders of good images below --bad');
      else (parts.some(isMaskFolder) ? beside : images).push(place(bad, path));
    }
    const split = splitMasksBeside(images);
    badImages = split.images;
    const own = [...beside, ...split.masks];
    if (!masks) maskFiles = own;
    else for (const { path } of own) leftOut.push({ path, reason: 'masks outside of --masks' });
  }
  const isElsewhere = new Set([...badImages, ...maskFiles].map(({ path }) => path));
  let train: readonly string[] = [];
  if (good) {
    const found = goodImages(
      listed(good).filter((path) => !isElsewhere.has(join(good, path))),
      good.name,
    );
    for (const { path, reason } of found.leftOut) leave(good, path, reason);
    train = found.images.map((path) => join(good, path));
  }
  for (const [tree, images] of [
    [good, train],
    [bad, badImages],
    [masks, maskFiles],
  ] as const) {
    if (tree && images.length === 0)
      throw new UserError(`the folder ${tree.name} holds no images.`, 'Give PNG, JPEG, WebP, BMP or TIFF files.');
  }
  const matched = matchMasks(badImages, maskFiles);
  for (const path of matched.unmatched) leftOut.push({ path, reason: 'masks without an image' });
  return {
    name,
    layout: 'plain',
    train,
    validation: [],
    test: [
      ...train.map((image): TestSample => ({ image, defect: GOOD, masks: [] })),
      ...badImages.map(
        ({ path }): TestSample => ({ image: path, defect: 'bad', masks: matched.masks.get(path) ?? [] }),
      ),
    ],
    leftOut: leftOut.length > 0 ? leftOut : undefined,
  };
}

/**
 * {@link namedDataset} from lists of files, which lie below the innermost folder that those of a list have in common.
 * @throws UserError for ambiguous masks
 */
export function plainDataset(
  name: string,
  files: { readonly good: readonly string[]; readonly bad?: readonly string[]; readonly masks?: readonly string[] },
): Dataset {
  const placed = (paths: readonly string[]) => {
    const below = belowCommonFolder(paths);
    return paths
      .map((path, i): Placed => ({ path, folders: below[i]!.split('/').slice(0, -1) }))
      .sort((a, b) => naturally(a.path, b.path));
  };
  const bad = placed(files.bad ?? []);
  const { masks } = matchMasks(bad, placed(files.masks ?? []));
  const good = [...files.good].sort(naturally);
  return {
    name,
    layout: 'plain',
    train: good,
    validation: [],
    test: [
      ...good.map((image): TestSample => ({ image, defect: GOOD, masks: [] })),
      ...bad.map(({ path }): TestSample => ({ image: path, defect: 'bad', masks: masks.get(path) ?? [] })),
    ],
  };
}

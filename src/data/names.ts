import { textDigest } from '../math/textDigest.ts';

const IMAGE_FILE = /\.(png|jpe?g|webp|bmp|tiff?)$/i;

/** Whether a path is that of an image by its ending, and no part of it is hidden. */
export function isImageFile(path: string): boolean {
  return IMAGE_FILE.test(path) && !isHidden(path);
}

/** Whether a name ends as the images do that can be read. */
export function endsAsImage(path: string): boolean {
  return IMAGE_FILE.test(path);
}

/** Whether a part of a path begins with a dot. `..` is no name. */
export function isHidden(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.') && part !== '.' && part !== '..');
}

/** Endings of files that lie beside images and are none: their absence from a data set needs no words. */
const COMPANION =
  /(^|\/)[^./]*$|\.(txt|md|json|jsonl|csv|tsv|xml|ya?ml|toml|ini|html?|pdf|docx?|xlsx?|rtf|log|db|py|ipynb|sh|bat|mjs|[jt]s|zip|t?gz|tar|safetensors|checkpoint|onnx|pth?|ckpt|part|lock)$/i;

/** Whether a file that is no image to us might be one to its owner: it is listed as left out. */
export function mayBeImage(path: string): boolean {
  return !IMAGE_FILE.test(path) && !COMPANION.test(path) && !isHidden(path);
}

/** `.gif` of `a/b.GIF` */
export function endingOf(path: string): string {
  return /\.[^./]+$/.exec(path)?.[0].toLowerCase() ?? '';
}

/**
 * Whether the program wrote a file itself: heat maps, figures, the pictures of a run.
 * @param path relative to the folder that was named
 */
export function isOwnPicture(path: string): boolean {
  return (
    /\.(heatmap|attention|bias)\.png$/i.test(path) ||
    /(^|\/)heatmaps\/[^/]+\//i.test(path) ||
    /(^|\/)gallery\/\d{4,}-(image|heatmap|mask)\.webp$/.test(path)
  );
}

/** Folder names that mean one thing, as people write them: case, `_`, `-`, `.` and spaces do not count. */
function words(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/));
}
const GOOD_WORDS = words(
  'good ok okay normal pass passed clean healthy intact io defectfree nodefect nodefects nondefective anomalyfree',
);
const BAD_WORDS = words(
  `bad ng nok notok notgood nogood ko nio defect defects defective abnormal anomaly anomalies anomalous outlier outliers
  fail failed fault faults faulty broken damaged reject rejects rejected scrap`,
);
const MASK_WORDS = words('groundtruth groundtruths gt mask masks');
/** Masks too, but also names of defects and parts: they count only where nothing else is meant. */
const LABEL_WORDS = words('label labels annotation annotations segmentation segmentations');
const TRAIN_WORDS = words('train training');
const TEST_WORDS = words('test tests testing');
const VALIDATION_WORDS = words('validation valid val');

const has = (set: ReadonlySet<string>) => (part: string | undefined) =>
  part !== undefined && set.has(part.toLowerCase().replace(/[\s_.-]+/g, ''));

/** What the name of a folder says, each for one part of a path. */
export const isGood = has(GOOD_WORDS);
export const isBad = has(BAD_WORDS);
export const isMaskFolder = has(MASK_WORDS);
export const isLabelFolder = has(LABEL_WORDS);
export const isTrain = has(TRAIN_WORDS);
export const isTest = has(TEST_WORDS);
export const isValidation = has(VALIDATION_WORDS);
export const isRgb = has(words('rgb'));

/** Compares paths with numbers by value, so that 2.png comes before 10.png, the same in every locale. */
export function naturally(a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : Number(a > b));
}
const collator = new Intl.Collator('en', { numeric: true });

/** A file's name without its ending. */
export function stem(file: string): string {
  return file.replace(/\.[^.]+$/, '');
}

export function lastPart(path: string): string {
  return path.replace(/\/+$/, '').split('/').pop()!;
}

/** Paths relative to the innermost folder that all have in common. */
export function belowCommonFolder(paths: readonly string[]): string[] {
  const first = paths[0]?.split('/').slice(0, -1) ?? [];
  let common = first.length;
  for (const path of paths) {
    const folders = path.split('/').slice(0, -1);
    while (common > folders.length || folders.some((part, i) => i < common && part !== first[i])) common--;
  }
  return paths.map((path) => path.split('/').slice(common).join('/'));
}

/** Values under what they have in common, in order. */
export function groupBy<T>(values: Iterable<T>, key: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(key(value));
    if (group) group.push(value);
    else groups.set(key(value), [value]);
  }
  return groups;
}

/**
 * The shortest ends of some paths that tell each from the others, case aside: `cam1`, or `lineA/cam1` and `lineB/cam1`.
 * Paths that are equal get equal names.
 */
export function distinctEnds(paths: readonly string[]): string[] {
  const parts = paths.map((path) => path.split('/').filter((part) => part !== ''));
  const depth = parts.map(() => 1);
  const end = (i: number) => parts[i]!.slice(-depth[i]!).join('/');
  for (let grown = true; grown; ) {
    grown = false;
    const groups = groupBy([...parts.keys()], (i) => end(i).toLowerCase());
    for (const group of groups.values()) {
      if (group.length === 1) continue;
      for (const i of group) {
        if (depth[i]! >= parts[i]!.length) continue;
        depth[i]!++;
        grown = true;
      }
    }
  }
  return parts.map((_, i) => end(i));
}

/**
 * A file name for each of some paths, all of them different, case aside: the wanted name where no other has it, else the
 * path's parts joined by `_`, with a number behind where even those are equal; safe as {@link safeFileNames} makes them.
 * @param wanted the name of a path that is alone with it, without an ending
 */
export function distinctFileNames(
  paths: readonly string[],
  wanted: (path: string) => string = lastPart,
): readonly string[] {
  const names = paths.map(wanted);
  const count = new Map<string, number>();
  for (const name of names) count.set(name.toLowerCase(), (count.get(name.toLowerCase()) ?? 0) + 1);
  const isAlone = (name: string) => count.get(name.toLowerCase()) === 1;
  const taken = new Set(names.filter(isAlone).map((name) => name.toLowerCase()));
  const distinct = paths.map((path, i) => {
    if (isAlone(names[i]!)) return names[i]!;
    const parts = path.split('/').filter((part) => part !== '' && part !== '.' && part !== '..');
    const joined = parts.join('_');
    let name = joined;
    for (let n = 2; taken.has(name.toLowerCase()); n++)
      name = `${stem(joined)}-${n}${joined.slice(stem(joined).length)}`;
    taken.add(name.toLowerCase());
    return name;
  });
  return safeFileNames(distinct);
}

/** Longest part of a file name that is made from data, in bytes: endings of ours follow it, and systems take 255. */
const NAME_BYTES = 120;

/** What some file system takes for something else: separators, wildcards, control characters, marks of text direction. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff<>:"|?*\\/]/g;
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?=\.|$)/i;

/**
 * File names made from names in data, in which anything may stand: every such file is named here. A name may have folders
 * before it, divided by `/`. Names that are safe stay as they are; others lose what is unsafe and get a digest of the whole name
 * behind, as do names that a file system may take for one. No name leads upwards, is hidden or reserved, and all are different.
 * @param names all that a command uses beside each other
 */
export function safeFileNames(names: readonly string[]): readonly string[] {
  const safe = names.map(safeName);
  const groups = groupBy(safe.keys(), (i) => alike(safe[i]!));
  const taken = new Set<string>();
  return safe.map((name, i) => {
    let chosen = groups.get(alike(name))!.length > 1 ? withDigest(name, names[i]!) : name;
    for (let n = 2; taken.has(alike(chosen)); n++) chosen = `${withDigest(name, names[i]!)}-${n}`;
    taken.add(alike(chosen));
    return chosen;
  });
}

/** {@link safeFileNames} for things with names, such as all data sets below a folder. */
export function safeFileNamesOf<T extends { readonly name: string }>(all: readonly T[]): (one: T) => string {
  const names = safeFileNames(all.map(({ name }) => name));
  const byThing = new Map(all.map((one, i) => [one, names[i]!]));
  return (one) => byThing.get(one)!;
}

/** {@link safeFileNames} for a name that is alone. */
export function safeFileName(name: string): string {
  return safeFileNames([name])[0]!;
}

/** Equal for names that are one on some file system. */
function alike(name: string): string {
  return name.normalize('NFC').toLowerCase();
}

function safeName(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.' && part !== '..');
  const safe = (parts.length > 0 ? parts : ['_']).map(safePart).join('/');
  return safe === name ? safe : withDigest(safe, name);
}

function safePart(part: string): string {
  const cleaned = part
    .replace(UNSAFE, '_')
    .replace(/[\ud800-\udfff]/gu, '_')
    .replace(/^[.\s]+|[.\s]+$/g, '')
    .replace(RESERVED, '_$1');
  return shortened(cleaned) || '_';
}

/** As many whole characters as fit. */
function shortened(text: string): string {
  const encoder = new TextEncoder();
  if (encoder.encode(text).length <= NAME_BYTES) return text;
  let short = '';
  let bytes = 0;
  for (const character of text) {
    bytes += encoder.encode(character).length;
    if (bytes > NAME_BYTES) break;
    short += character;
  }
  return short.replace(/[.\s]+$/, '');
}

/** A digest of a name behind a safe one. */
function withDigest(safe: string, name: string): string {
  const text = `-${textDigest(name).toString(16).padStart(8, '0')}`;
  return safe.endsWith(text) ? safe : `${safe}${text}`;
}

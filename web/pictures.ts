import { imageFrom } from '../src/browser/images.ts';
import type { ImageSource, RgbImage } from '../src/data/image.ts';
import { UserError } from '../src/errors.ts';

/** A picture by name, decoded when it is needed. */
export interface Picture {
  readonly name: string;
  /** @throws UserError where the browser cannot decode it */
  read(): Promise<RgbImage>;
}

/** A file, and its path below what was dropped or chosen. */
export interface NamedFile {
  readonly path: string;
  readonly file: File;
}

const PICTURE_TYPES = /^image\//;

/** No model is larger. */
const MAX_BYTES = 2 ** 30;

/** The contents of a file. @throws UserError for one that is too large for a model, or is not there any more */
export async function bytesOf({ path, file }: NamedFile): Promise<Uint8Array> {
  if (file.size > MAX_BYTES) throw new UserError(`${path} is larger than 1 GiB.`, 'Choose a model file.');
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new UserError(`${path} cannot be read.`, 'Choose it again.');
  }
}

/** Told by the type that the browser gives to a file's name. */
export const isPicture = ({ file }: NamedFile) => PICTURE_TYPES.test(file.type);

export function pictureOf({ path, file }: NamedFile): Picture {
  return {
    name: path,
    async read() {
      try {
        return await imageFrom(file);
      } catch {
        throw new UserError(`${path} cannot be decoded by this browser.`, 'Use PNG, JPEG or WebP.');
      }
    },
  };
}

/** Pictures as what a detector learns from. */
export function sourceOf(pictures: readonly Picture[]): ImageSource {
  return {
    count: pictures.length,
    paths: pictures.map(({ name }) => name),
    image: (index) => pictures[index]!.read(),
  };
}

/** The pictures among files, in the order of their paths. */
export function picturesOf(files: readonly NamedFile[]): Picture[] {
  const order = new Intl.Collator('en', { numeric: true });
  return files
    .filter(isPicture)
    .sort((a, b) => order.compare(a.path, b.path))
    .map(pictureOf);
}

/** What was chosen by an input, which is ready for the same choice again. */
export function chosenFiles(input: HTMLInputElement): NamedFile[] {
  const files = [...(input.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
  input.value = '';
  return files;
}

/** What was dropped, folders with all that is in them. */
export async function droppedFiles({ items }: DataTransfer): Promise<NamedFile[]> {
  // Items can be asked only while the event is handled, so all of them are before the first is awaited.
  const dropped = [...items].map((item) => item.webkitGetAsEntry() ?? item.getAsFile()).filter((each) => each !== null);
  const files = dropped.map((each) => (each instanceof File ? [{ path: each.name, file: each }] : filesBelow(each)));
  return (await Promise.all(files)).flat();
}

async function filesBelow(entry: FileSystemEntry): Promise<NamedFile[]> {
  const path = entry.fullPath.replace(/^\//, '');
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const all: FileSystemEntry[] = [];
  // A reader gives a hundred entries at a time.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    all.push(...some);
  }
  return (await Promise.all(all.map(filesBelow))).flat();
}

/** Lets files be dropped anywhere on a panel. */
export function acceptDrops(panel: HTMLElement, use: (files: NamedFile[]) => void): void {
  panel.addEventListener('dragover', (event) => {
    event.preventDefault();
    panel.classList.add('dragging');
  });
  for (const end of ['dragleave', 'drop']) panel.addEventListener(end, () => panel.classList.remove('dragging'));
  panel.addEventListener('drop', (event) => {
    event.preventDefault();
    if (event.dataTransfer) void droppedFiles(event.dataTransfer).then(use);
  });
}

/** Uses what an input chooses. */
export function acceptChoice(input: HTMLInputElement, use: (files: NamedFile[]) => void): void {
  input.addEventListener('change', () => use(chosenFiles(input)));
}

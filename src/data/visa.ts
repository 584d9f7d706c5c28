import { CsvError, parse } from 'csv-parse/sync';
import { quote, UserError } from '../errors.ts';
import { type Dataset, type FileTree, GOOD, type LeftOut, type TestSample } from './dataset.ts';
import { isImageFile } from './names.ts';

export const VISA_SPLIT = 'split_csv/1cls.csv';

const FIX = 'Use the file that VisA comes with: columns object, split, label, image, mask.';

/**
 * VisA by the split that its paper evaluates (one-class): a row per image. A byte order mark, semicolons or tabs between the
 * columns and `\` in paths are read too.
 * @throws UserError naming the line that cannot be read
 */
export async function readVisa(tree: FileTree): Promise<Dataset[]> {
  const categories = new Map<string, { train: string[]; test: TestSample[] }>();
  const used = new Set<string>();
  for (const { record, line } of parseRows(await tree.readText(VISA_SPLIT))) {
    const { object, split, label, image, mask } = record;
    const [subset, kind] = [split?.toLowerCase(), label?.toLowerCase()];
    const paths = [image, mask].flatMap((path) => (path ? [path.replaceAll('\\', '/')] : []));
    const outside = paths.find((path) => /^(\/|[a-z]:)/i.test(path) || path.split('/').includes('..'));
    if (outside !== undefined)
      throw new UserError(`${VISA_SPLIT} names a file outside of the data set, line ${line}: ${quote(outside)}.`, FIX);
    if (
      !object ||
      !image ||
      paths.some((path) => path.includes('\0')) ||
      !/^(train|test)$/.test(subset ?? '') ||
      !/^(normal|anomaly)$/.test(kind ?? '')
    )
      throw new UserError(`${VISA_SPLIT} has a row that cannot be read, line ${line}: ${quote(record)}.`, FIX);
    if (!categories.has(object)) categories.set(object, { train: [], test: [] });
    const category = categories.get(object)!;
    for (const path of paths) used.add(path);
    if (subset === 'train' && kind === 'normal') category.train.push(paths[0]!);
    else if (subset === 'train')
      throw new UserError(`${VISA_SPLIT} trains on an anomaly, line ${line}: ${quote(image)}.`, FIX);
    else if (kind === 'normal') category.test.push({ image: paths[0]!, defect: GOOD, masks: [] });
    else category.test.push({ image: paths[0]!, defect: 'anomaly', masks: paths.slice(1) });
  }
  if (categories.size === 0) throw new UserError(`${VISA_SPLIT} lists no images.`, FIX);
  const unlisted = tree.files.filter((file) => isImageFile(file) && !used.has(file));
  return [...categories].map(([name, { train, test }]) => {
    const leftOut = unlisted
      .filter((file) => file.startsWith(`${name}/`))
      .map((path): LeftOut => ({ path, reason: `not in ${VISA_SPLIT}` }));
    return { name, layout: 'visa', train, validation: [], test, leftOut: leftOut.length > 0 ? leftOut : undefined };
  });
}

function parseRows(text: string): { readonly record: Record<string, string>; readonly line: number }[] {
  const head = /^.*/.exec(text)![0];
  const delimiter = [',', ';', '\t'].find((each) => head.includes(each)) ?? ',';
  try {
    const rows: { record: Record<string, string>; info: { lines: number } }[] = parse(text, {
      columns: (names: string[]) => names.map((name) => name.toLowerCase()),
      delimiter,
      skip_empty_lines: true,
      trim: true,
      bom: true,
      info: true,
    });
    return rows.map(({ record, info }) => ({ record, line: info.lines }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new UserError(`${VISA_SPLIT} cannot be read: ${error.message.replace(/\.$/, '')}.`, FIX);
  }
}

import { jsonText, parseShape, type Shape } from '../checks/shape.ts';
import { readText } from './files.ts';
import { writeAtomically } from './output.ts';

/** How to mend a damaged file. */
const FIX = 'Restore or remove the file.';

/** A JSON file of a shape. @throws UserError naming the file and what is wrong with it */
export async function readJson<T>(path: string, shape: Shape, fix = FIX): Promise<T> {
  return parseShape(await readText(path), shape, path, fix);
}

/** Writes a JSON file that {@link readJson} takes. @throws UserError naming the value that it would not take */
export async function writeJson(path: string, value: unknown, shape: Shape, indent?: number): Promise<void> {
  await writeAtomically(path, `${jsonText(value, shape, path, indent)}\n`);
}

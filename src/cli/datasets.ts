import type { Dataset } from '../data/dataset.ts';
import { UserError } from '../errors.ts';

/** The data sets to work on: the named one, or all. @throws UserError when the name is not among them */
export function chooseCategories<T extends Pick<Dataset, 'name'>>(
  datasets: readonly T[],
  name: string | undefined,
): readonly T[] {
  if (name === undefined) return datasets;
  const found = datasets.filter((dataset) => dataset.name === name);
  if (found.length === 0) {
    throw new UserError(
      `there is no data set '${name}'.`,
      `Use one of: ${datasets.map((dataset) => dataset.name).join(', ')}.`,
    );
  }
  return found;
}

import { checkSeed } from '../checks/numbers.ts';
import { checkShape, jsonText, parseShape, type Shape } from '../checks/shape.ts';
import { quote, UserError } from '../errors.ts';
import { ARMS, type Arm } from './arms.ts';
import { type CellResult, cellId, type StudyCell } from './cells.ts';
import { checkStudySettings, type StudySettings } from './settings.ts';
import { CELL_FIELDS, CELL_RESULT, checkCellResult, SETTINGS_FIELDS } from './shapes.ts';

/** What all workers of a study have to agree on. */
export interface StudyTerms {
  /** Of this program: others may compute other figures. */
  readonly version: string;
  readonly settings: StudySettings;
  /** Penalty images; photographs are told apart by the digest of their contents. */
  readonly penalty: { readonly name: string; readonly digest?: string };
}

/** What a worker is asked to do: a cell, or without one the checkpoint and the scores that a set's and seed's cells share. */
export interface StudyTask extends StudyTerms {
  /** Tells a study from an earlier one of the same name. */
  readonly study: string;
  readonly set: string;
  readonly seed: number;
  readonly arms: readonly Arm[];
  /** Of the data set's contents. */
  readonly digest: string;
  readonly cell?: StudyCell;
}

const STUDY_TASK: Shape = {
  exact: true,
  fields: {
    version: 'text',
    settings: { exact: true, fields: SETTINGS_FIELDS },
    penalty: { exact: true, fields: { name: 'text', digest: { optional: 'text' } } },
    study: 'text',
    set: CELL_FIELDS.set,
    seed: CELL_FIELDS.seed,
    arms: { list: { oneOf: ARMS }, atLeast: 1 },
    digest: 'text',
    cell: { optional: { exact: true, fields: CELL_FIELDS } },
  },
};

/** The last settings that were judged usable: tasks of a study share them. */
let usable: string | undefined;

const FIX = 'Only raad study may add tasks.';

/**
 * A task from a queue, before anything is allocated for it; who adds one checks it, too.
 * @throws UserError naming what no study could ask for
 */
export function checkTask(value: unknown, name = 'a task'): StudyTask {
  const task = checkShape<StudyTask>(value, STUDY_TASK, name, FIX);
  const { set, seed, arms, cell, settings } = task;
  checkSeed(seed, `${name} cannot be done: seed`);
  if (cell && (cell.set !== set || cell.seed !== seed || !arms.includes(cell.arm)))
    throw new UserError(`${name} asks for the cell ${quote(cellId(cell))} of another data set or seed.`, FIX);
  const text = JSON.stringify(settings);
  if (text === usable) return task;
  try {
    checkStudySettings(settings);
    usable = text;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${name} cannot be done: ${error.message}`, error.fix);
  }
  return task;
}

/** A result as it lies in a queue, with the program that made it. */
interface ReturnedResult {
  readonly version: string;
  readonly result: CellResult;
}

const RETURNED: Shape = { exact: true, fields: { version: 'text', result: CELL_RESULT } };

/** @throws UserError for a result that {@link parseResult} would refuse */
export function resultText(returned: ReturnedResult, cell: StudyCell): string {
  const name = `the result of ${cellId(cell)}`;
  const text = jsonText(returned, RETURNED, name);
  checkOwner(returned, { version: returned.version, cell }, name);
  return text;
}

/** @throws UserError for text that is no result of this cell by this version of the program */
export function parseResult(
  text: string,
  expected: { readonly version: string; readonly cell: StudyCell },
): CellResult {
  const name = `the result of ${cellId(expected.cell)}`;
  const returned = parseShape<ReturnedResult>(text, RETURNED, name, 'It is not taken.');
  checkOwner(returned, expected, name);
  return returned.result;
}

function checkOwner(
  { version, result }: ReturnedResult,
  expected: { readonly version: string; readonly cell: StudyCell },
  name: string,
): void {
  if (version !== expected.version)
    throw new UserError(
      `${name} is from version ${quote(version)}, not ${quote(expected.version)}.`,
      'It is not taken.',
    );
  checkCellResult(result, name, 'It is not taken.');
  if (result.id !== cellId(expected.cell))
    throw new UserError(`${name} is that of ${quote(result.id)}.`, 'It is not taken.');
}

import { existsSync } from 'node:fs';
import { parseShape, type Shape } from '../checks/shape.ts';
import { readText } from '../node/files.ts';
import { writeAtomically } from '../node/output.ts';

/** What a step reports, by name. */
type Values = Readonly<Record<string, number | undefined>>;

interface Line extends Record<string, unknown> {
  /** Where several data sets are trained on, one after the other. */
  readonly set?: string;
  readonly step: number;
  /** Since the run on this set began, without what lay between a stop and `--resume`. */
  readonly seconds?: number;
}

const LINE: Shape = {
  fields: {
    set: { optional: 'text' },
    step: { least: 0, most: Number.MAX_SAFE_INTEGER },
    seconds: { optional: { from: 0, to: Number.MAX_VALUE } },
  },
};

/** The file of `--log`: a JSON line per step that was reported. Without a file it keeps nothing. */
export class TrainingLog {
  readonly #file: string | undefined;
  #lines: Line[];
  #set: string | undefined;
  /** Seconds of this set in runs before; known with its first step. */
  #before: number | undefined;
  #started = performance.now();

  private constructor(file: string | undefined, lines: Line[]) {
    this.#file = file;
    this.#lines = lines;
  }

  /**
   * @param resumed the lines in the file stay, up to the checkpoint
   * @throws UserError for a file that would go on but is no log
   */
  static async open(file: string | undefined, resumed: boolean): Promise<TrainingLog> {
    if (file === undefined || !resumed || !existsSync(file)) return new TrainingLog(file, []);
    const texts = (await readText(file)).split('\n').filter((text) => text !== '');
    const fix = '--resume goes on with the log of the run before: name another file with --log.';
    return new TrainingLog(
      file,
      texts.map((text, i) => parseShape<Line>(text, LINE, `${file}, line ${i + 1},`, fix)),
    );
  }

  /** What follows is of this set. @param set its name, where a log holds several */
  begin(set?: string): void {
    this.#set = set;
    this.#before = undefined;
    this.#started = performance.now();
  }

  /** A step that is done again, behind a checkpoint, stands for the one before. */
  add(step: number, values: Values): void {
    if (this.#file === undefined) return;
    const isOwn = (line: Line) => line.set === this.#set;
    const again = this.#lines.findLast(isOwn)?.step ?? -1;
    if (again >= step) this.#lines = this.#lines.filter((line) => !isOwn(line) || line.step < step);
    this.#before ??= this.#lines.findLast(isOwn)?.seconds ?? 0;
    const seconds = Number((this.#before + (performance.now() - this.#started) / 1000).toFixed(3));
    this.#lines.push({ ...(this.#set !== undefined && { set: this.#set }), step, seconds, ...values });
  }

  /** Writes the file, whole, when there is something to write. */
  async write(): Promise<void> {
    if (this.#file === undefined || this.#lines.length === 0) return;
    await writeAtomically(this.#file, this.#lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }
}

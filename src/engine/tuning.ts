import { isRecord, parseJson } from '../checks/json.ts';
import { quote, UserError } from '../errors.ts';
import type { Caps } from './caps.ts';
import { isInput, type Node, parameterOf } from './graph.ts';
import type { Precision } from './variants.ts';

const FORMAT = 'raad-tuning';
const VERSION = 1;

/** Measured choices of variants, as JSON. */
export interface TuningTable {
  readonly format: typeof FORMAT;
  readonly version: number;
  /** The adapter and driver that was measured. @see adapterIdentity */
  readonly adapter: string;
  /** Variant by op, attributes and shapes. */
  readonly choices: Readonly<Record<string, string>>;
  /** Milliseconds of whole networks, timed in turns with each other by one run. */
  readonly times?: Readonly<Record<string, number>>;
}

/** What choices depend on: adapter and driver. What an adapter does not tell is left out. */
export function adapterIdentity({ vendor, architecture, device, description, subgroupMaxSize }: Caps): string {
  return [vendor, architecture, device, description, `subgroups of ${subgroupMaxSize}`].filter(Boolean).join(' | ');
}

const constants = new WeakMap<Node, boolean>();

/** Whether a value depends on parameters alone, so that it is computed once, not in every run. */
export function isConstant(node: Node): boolean {
  let known = constants.get(node);
  if (known === undefined) {
    known = parameterOf(node) !== undefined || (!isInput(node) && node.inputs.every(isConstant));
    constants.set(node, known);
  }
  return known;
}

/**
 * What a choice is kept under. Labels do not matter, and neither does what else the graph holds.
 * @param precision of the variants among which it was chosen @see choicePrecision
 */
export function tuningKey(node: Node, precision: Precision = 'f32'): string {
  const shapes = node.inputs.map((input) => `${input.type.shape.join('x')}${isConstant(input) ? '!' : ''}`);
  const key = `${node.op.name} ${shapes.join(',')} ${JSON.stringify(node.attrs)}`;
  return precision === 'f32' ? key : `${key} ${precision}`;
}

/** Choices of variants for one adapter: measured ones before shipped ones. */
export class Tuning {
  readonly adapter: string;
  readonly #choices: Map<string, string>;
  readonly #times: Map<string, number>;

  constructor(
    adapter: string,
    choices: Iterable<readonly [string, string]> = [],
    times: Iterable<readonly [string, number]> = [],
  ) {
    this.adapter = adapter;
    this.#choices = new Map(choices);
    this.#times = new Map(times);
  }

  get size(): number {
    return this.#choices.size;
  }

  get(node: Node, precision?: Precision): string | undefined {
    return this.#choices.get(tuningKey(node, precision));
  }

  set(node: Node, variant: string, precision?: Precision): void {
    this.#choices.set(tuningKey(node, precision), variant);
  }

  /** Milliseconds of a whole network, if it has been timed. */
  time(network: string): number | undefined {
    return this.#times.get(network);
  }

  setTime(network: string, milliseconds: number): void {
    this.#times.set(network, milliseconds);
  }

  /** Takes over another adapter's or an earlier run's choices where there is none yet. */
  addMissing(other: Tuning): void {
    for (const [key, variant] of other.#choices) if (!this.#choices.has(key)) this.#choices.set(key, variant);
    for (const [network, time] of other.#times) if (!this.#times.has(network)) this.#times.set(network, time);
  }

  toJSON(): TuningTable {
    const choices = Object.fromEntries([...this.#choices].sort(([a], [b]) => (a < b ? -1 : 1)));
    const times = this.#times.size > 0 ? { times: Object.fromEntries(this.#times) } : {};
    return { format: FORMAT, version: VERSION, adapter: this.adapter, choices, ...times };
  }

  /** The table as text that {@link Tuning.parse} takes. @throws UserError as it does */
  text(): string {
    const text = `${JSON.stringify(this, null, 1)}\n`;
    Tuning.parse(text, this.adapter);
    return text;
  }

  /**
   * @param text a {@link TuningTable}
   * @param adapter the identity that the table has to be for; absent: any
   * @throws UserError for anything else
   */
  static parse(text: string, adapter?: string): Tuning {
    const table = parseJson(text, 'the tuning table', 'Run `raad tune` to make a new one.') as Partial<TuningTable>;
    if (!isRecord(table) || table.format !== FORMAT || typeof table.adapter !== 'string')
      throw new UserError('this is not a tuning table.', 'Run `raad tune` to make one.');
    if (table.version !== VERSION)
      throw new UserError(
        `the tuning table has version ${quote(table.version)}, expected ${VERSION}.`,
        'Run `raad tune`.',
      );
    const { choices: chosen, times: timed = {} } = table;
    if (!isRecord(chosen) || !isRecord(timed))
      throw new UserError('the tuning table lacks its choices or times.', 'Run `raad tune`.');
    const choices = Object.entries(chosen);
    if (choices.some(([, variant]) => typeof variant !== 'string'))
      throw new UserError('the tuning table has choices that are not names.', 'Run `raad tune`.');
    const times = Object.entries(timed);
    if (times.some(([, time]) => !(Number.isFinite(time) && time > 0)))
      throw new UserError('the tuning table has times that are not positive numbers.', 'Run `raad tune`.');
    if (adapter !== undefined && table.adapter !== adapter)
      throw new UserError(`the tuning table is for '${table.adapter}', not for '${adapter}'.`, 'Run `raad tune`.');
    return new Tuning(table.adapter, choices, times);
  }
}

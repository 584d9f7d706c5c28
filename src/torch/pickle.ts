import { UserError } from '../errors.ts';

import { Call, Global, Persistent, type PickleValue } from './values.ts';

/** Longest name of a module or class. */
const LONGEST_NAME = 1000;
/** A checkpoint of a large network takes some ten thousand. It bounds memory to some hundred bytes for each. */
const MOST_STEPS = 2 ** 18;
const PROTOCOLS = { least: 2, most: 5 } as const;
const FIX = 'Copy or make the file again.';

/**
 * Reads one of Python's pickles, protocols 2 to 5, and executes nothing: what it would import is a {@link Global}, a name; what it
 * would call is a {@link Call}, a record of who and with what. It is for the reader of the records to know some of them.
 * @param name of the file, shown in messages
 * @param at where the pickle begins
 * @returns the value, and where the pickle ends
 * @throws UserError for a pickle that is cut off, malformed or too long, or that has an opcode that no PyTorch file needs
 */
export function unpickle(
  bytes: Uint8Array,
  name: string,
  at = 0,
): { readonly value: PickleValue; readonly end: number } {
  const machine = new Machine(bytes, name, at);
  return { value: machine.run(), end: machine.at };
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;
  readonly #stack: PickleValue[] = [];
  /** Heights of the stack where marks were set. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  at: number;

  constructor(bytes: Uint8Array, name: string, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
    this.at = at;
  }

  run(): PickleValue {
    if (this.byte() !== OPCODE.proto) throw this.malformed('it does not begin with its protocol');
    const protocol = this.byte();
    if (!(protocol >= PROTOCOLS.least && protocol <= PROTOCOLS.most))
      throw this.malformed(`protocol ${protocol} is not read`);
    for (let step = 0; step < MOST_STEPS; step++) {
      const place = this.at;
      const opcode = this.byte();
      if (opcode === OPCODE.stop) return this.pop();
      const run = STEPS[opcode];
      if (!run)
        throw this.malformed(
          `it has the opcode 0x${opcode.toString(16).padStart(2, '0')} at byte ${place}, which is not read`,
        );
      run(this);
    }
    throw this.malformed(`it takes more than ${MOST_STEPS} steps`);
  }

  malformed(what: string): UserError {
    return new UserError(`the pickle in ${this.#name} cannot be used: ${what}.`, FIX);
  }

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  pop(): PickleValue {
    // What lies below a mark is not for the steps above it.
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.malformed('a step lacks its value');
    return this.#stack.pop()!;
  }

  /** The value that steps change in place. */
  top(): PickleValue {
    const value = this.pop();
    this.#stack.push(value);
    return value;
  }

  popMany(count: number): PickleValue[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  popToMark(): PickleValue[] {
    const height = this.#marks.pop();
    if (height === undefined) throw this.malformed('a step lacks its mark');
    return this.#stack.splice(height);
  }

  memoize(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.malformed(`nothing was kept under ${index}`);
    this.push(value);
  }

  #advance(count: number): number {
    const { at } = this;
    if (count > this.#bytes.length - at) throw this.malformed('it is cut off');
    this.at = at + count;
    return at;
  }

  byte(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  half(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  word(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  integer(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  /** Lengths beyond 2^53 are rounded, and longer than any file all the same. */
  long(): number {
    return Number(this.#view.getBigUint64(this.#advance(8), true));
  }

  double(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  slice(count: number): Uint8Array {
    const from = this.#advance(count);
    return this.#bytes.subarray(from, from + count);
  }

  text(count: number): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.slice(count));
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw this.malformed('a text in it is not UTF-8');
    }
  }

  /** Up to the end of the line. */
  line(): string {
    const end = this.#bytes.subarray(this.at, this.at + LONGEST_NAME).indexOf(0x0a);
    if (end < 0) throw this.malformed('a name in it does not end');
    const text = this.text(end);
    this.#advance(1);
    return text;
  }

  /** Little-endian, in two's complement. */
  bigInteger(count: number): number | bigint {
    const bytes = this.slice(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    value = BigInt.asIntN(8 * count, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  parameters(): readonly PickleValue[] {
    const parameters = this.pop();
    if (!Array.isArray(parameters)) throw this.malformed('something is called without a tuple of parameters');
    return parameters;
  }

  call(): void {
    const parameters = this.parameters();
    this.push(new Call(this.pop(), parameters));
  }

  append(values: readonly PickleValue[]): void {
    const target = this.top();
    const list = target instanceof Call ? target.items : target;
    if (!Array.isArray(list)) throw this.malformed('a value is appended to what is no list');
    for (const value of values) list.push(value);
  }

  setItems(values: readonly PickleValue[]): void {
    const target = this.top();
    const entries = target instanceof Call ? target.entries : target;
    if (!(entries instanceof Map) || values.length % 2 > 0)
      throw this.malformed('an entry is set in what is no dictionary');
    for (let i = 0; i < values.length; i += 2) entries.set(values[i]!, values[i + 1]!);
  }

  build(): void {
    const state = this.pop();
    const target = this.top();
    if (!(target instanceof Call)) throw this.malformed('attributes are set on what is no object');
    target.state = state;
  }

  global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string' || module.length + name.length > 2 * LONGEST_NAME)
      throw this.malformed('a name in it is no text');
    this.push(new Global(`${module}.${name}`));
  }
}

const OPCODE = { proto: 0x80, stop: 0x2e } as const;

/** What each opcode does, by its code. The names are those of Python's `pickletools`. */
const STEPS: Readonly<Record<number, (machine: Machine) => void>> = {
  // FRAME: the length of what follows, for readers of streams
  149: (m) => void m.slice(8),
  // NONE, NEWTRUE, NEWFALSE
  78: (m) => m.push(null),
  136: (m) => m.push(true),
  137: (m) => m.push(false),
  // BININT, BININT1, BININT2, LONG1, BINFLOAT
  74: (m) => m.push(m.integer()),
  75: (m) => m.push(m.byte()),
  77: (m) => m.push(m.half()),
  138: (m) => m.push(m.bigInteger(m.byte())),
  71: (m) => m.push(m.double()),
  // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8; SHORT_BINSTRING and BINSTRING, of Python 2
  140: (m) => m.push(m.text(m.byte())),
  88: (m) => m.push(m.text(m.word())),
  141: (m) => m.push(m.text(m.long())),
  85: (m) => m.push(m.text(m.byte())),
  84: (m) => m.push(m.text(m.word())),
  // SHORT_BINBYTES, BINBYTES, BINBYTES8
  67: (m) => m.push(m.slice(m.byte())),
  66: (m) => m.push(m.slice(m.word())),
  142: (m) => m.push(m.slice(m.long())),
  // MARK, EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
  40: (m) => m.mark(),
  41: (m) => m.push([]),
  133: (m) => m.push(m.popMany(1)),
  134: (m) => m.push(m.popMany(2)),
  135: (m) => m.push(m.popMany(3)),
  116: (m) => m.push(m.popToMark()),
  // EMPTY_LIST, APPEND, APPENDS
  93: (m) => m.push([]),
  97: (m) => m.append(m.popMany(1)),
  101: (m) => m.append(m.popToMark()),
  // EMPTY_DICT, SETITEM, SETITEMS
  125: (m) => m.push(new Map()),
  115: (m) => m.setItems(m.popMany(2)),
  117: (m) => m.setItems(m.popToMark()),
  // EMPTY_SET, ADDITEMS, FROZENSET
  143: (m) => m.push([]),
  144: (m) => m.append(m.popToMark()),
  145: (m) => m.push(m.popToMark()),
  // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
  113: (m) => m.memoize(m.byte()),
  114: (m) => m.memoize(m.word()),
  148: (m) => m.memoize(),
  104: (m) => m.recall(m.byte()),
  106: (m) => m.recall(m.word()),
  // GLOBAL, STACK_GLOBAL
  99: (m) => m.global(m.line(), m.line()),
  147: (m) => {
    const [module, name] = m.popMany(2);
    m.global(module!, name!);
  },
  // REDUCE, NEWOBJ, BUILD, BINPERSID
  82: (m) => m.call(),
  129: (m) => m.call(),
  98: (m) => m.build(),
  81: (m) => m.push(new Persistent(m.pop())),
};

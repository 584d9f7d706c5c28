/** What a pickle stands for, where nothing is imported and nobody called. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PickleValue[]
  | ReadonlyMap<PickleValue, PickleValue>
  | Global
  | Call
  | Persistent;

/** A class or function of a module, by name only. */
export class Global {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }
}

/** What calling something, or making an object of a class, would have given; and what was then put into it. */
export class Call {
  readonly callee: PickleValue;
  readonly parameters: readonly PickleValue[];
  /** Of objects that are dictionaries. */
  readonly entries = new Map<PickleValue, PickleValue>();
  /** Of objects that are lists or sets. */
  readonly items: PickleValue[] = [];
  /** An object's attributes, mostly. */
  state: PickleValue = null;

  constructor(callee: PickleValue, parameters: readonly PickleValue[]) {
    this.callee = callee;
    this.parameters = parameters;
  }
}

/** Something that lies outside of the pickle. */
export class Persistent {
  readonly id: PickleValue;

  constructor(id: PickleValue) {
    this.id = id;
  }
}

import { UserError } from '../errors.ts';
import { Call, Global, Persistent, type PickleValue } from './values.ts';

/** Where a tensor's elements lie. */
export interface StoredTensorRecord {
  readonly storage: {
    readonly key: string;
    /** The name of its class, such as `FloatStorage`. */
    readonly type: string;
    readonly elements: number;
  };
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Of the first element, in elements. */
  readonly offset: number;
}

/** A tensor, or what something that is not known here would have made of what is there. */
export type TensorRecord = StoredTensorRecord | { readonly foreign: string };

/** A setting that a file of PyTorch holds beside its tensors. */
export type Setting = boolean | number | string;

/** What is under names in a file. A file that repeats its values endlessly ends here. */
const MOST_VALUES = 2 ** 16;
const DEEPEST = 64;
/** Longer names are passed over: all paths together take memory within a bound. */
const LONGEST_PATH = 1000;

/** Calls whose results are known without making them. */
const DICTIONARY = 'collections.OrderedDict';
const SIZE = 'torch.Size';
const TENSOR = new Set(['torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2']);
const PARAMETER = new Set(['torch._utils._rebuild_parameter', 'torch._utils._rebuild_parameter_with_state']);
const SUBCLASS = 'torch._tensor._rebuild_from_type_v2';
/** Subclasses that are tensors and nothing else. */
const PLAIN_TYPES = new Set(['torch.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer']);
/** A tensor in a parameter in a subclass is the most that there is. */
const MOST_WRAPPERS = 4;

/** Attributes of a module whose contents go by their own names. */
const MODULE_PARTS = ['_parameters', '_buffers', '_modules'] as const;

/** What a pickle's value holds. */
export interface Records {
  /** By the path of their name. */
  readonly tensors: ReadonlyMap<string, TensorRecord>;
  readonly settings: ReadonlyMap<string, Setting>;
  /** Classes of all storages by key, of tensors that something foreign takes, too. */
  readonly storages: ReadonlyMap<string, string>;
}

/** @throws UserError for a value that holds more than any checkpoint does */
export function flatten(value: PickleValue, name: string): Records {
  const walk = new Walk(name);
  walk.visit(value, '', 0);
  return walk;
}

class Walk implements Records {
  readonly tensors = new Map<string, TensorRecord>();
  readonly settings = new Map<string, Setting>();
  readonly storages = new Map<string, string>();
  readonly #name: string;
  #visited = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** @param foreign who would have made what the value lies in, where that is not known */
  visit(value: PickleValue, path: string, depth: number, foreign?: string): void {
    if (depth > DEEPEST || ++this.#visited > MOST_VALUES)
      throw new UserError(
        `${this.#name} nests or repeats more values than a checkpoint does.`,
        'Save the plain state dict in PyTorch.',
      );
    const tensor = tensorOf(value);
    if (tensor) {
      this.tensors.set(path, foreign === undefined ? tensor : { foreign });
      this.storages.set(tensor.storage.key, tensor.storage.type);
    } else if (isSetting(value)) this.settings.set(path, value);
    else if (value instanceof Call) this.#visitCall(value, path, depth, foreign);
    else this.#visitAll(childrenOf(value), path, depth, foreign);
  }

  #visitAll(
    children: Iterable<readonly [PickleValue, PickleValue]>,
    path: string,
    depth: number,
    foreign?: string,
  ): void {
    for (const [key, child] of children) {
      if (typeof key !== 'string' && typeof key !== 'number') continue;
      if (String(key).length > LONGEST_PATH - path.length) continue;
      this.visit(child, path === '' ? String(key) : `${path}.${key}`, depth + 1, foreign);
    }
  }

  #visitCall(call: Call, path: string, depth: number, foreign?: string): void {
    const callee = calleeOf(call);
    const { state } = call;
    if (callee === DICTIONARY) {
      this.#visitAll(childrenOf(call.parameters[0] ?? null), path, depth, foreign);
      this.#visitAll(call.entries, path, depth, foreign);
      return;
    }
    // A module's tensors lie in its attributes, whatever its class does with them.
    const isModule = state instanceof Map && MODULE_PARTS.every((part) => state.has(part));
    if (isModule) {
      for (const [key, child] of state) {
        if ((MODULE_PARTS as readonly PickleValue[]).includes(key)) this.visit(child, path, depth + 1, foreign);
        else this.#visitAll([[key, child]], path, depth, foreign);
      }
      return;
    }
    const maker = foreign ?? (TENSOR.has(callee) ? `${callee} of unusable parameters` : callee);
    this.tensors.set(path, { foreign: maker });
    for (const part of [call.parameters, call.items, call.entries, state])
      this.#visitAll(childrenOf(part), path, depth, maker);
  }
}

function isSetting(value: PickleValue): value is Setting {
  return typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string';
}

function childrenOf(value: PickleValue): Iterable<readonly [PickleValue, PickleValue]> {
  if (value instanceof Map) return value;
  return Array.isArray(value) ? value.entries() : [];
}

/** Who would be called, in words. */
function calleeOf({ callee }: Call): string {
  // PyTorch gave the source of modules' classes along with their names.
  const named = callee instanceof Persistent && Array.isArray(callee.id) ? callee.id[1] : callee;
  return named instanceof Global ? named.path : 'something without a name';
}

/** The tensor that a value is; undefined for any other value. */
function tensorOf(value: PickleValue, wrappers = 0): StoredTensorRecord | undefined {
  if (!(value instanceof Call) || wrappers > MOST_WRAPPERS) return undefined;
  const callee = calleeOf(value);
  const { parameters } = value;
  if (PARAMETER.has(callee)) return tensorOf(parameters[0] ?? null, wrappers + 1);
  if (callee === SUBCLASS) {
    const [rebuild, type, inner] = parameters;
    const isPlain = type instanceof Global && PLAIN_TYPES.has(type.path);
    return isPlain && Array.isArray(inner) ? tensorOf(new Call(rebuild ?? null, inner), wrappers + 1) : undefined;
  }
  if (!TENSOR.has(callee)) return undefined;
  const [stored, offset, size, stride] = parameters;
  const storage = storageOf(stored);
  const [shape, strides] = [sizesOf(size), sizesOf(stride)];
  if (!storage || !shape || !strides || shape.length !== strides.length || !isSize(offset)) return undefined;
  return { storage, shape, strides, offset };
}

/** `('storage', class, key, device, number of elements)`, and for views of storages, in old files, where these lie. */
function storageOf(value: PickleValue | undefined): StoredTensorRecord['storage'] | undefined {
  if (!(value instanceof Persistent) || !Array.isArray(value.id)) return undefined;
  const [kind, type, key, , elements, view = null] = value.id as readonly PickleValue[];
  if (kind !== 'storage' || !(type instanceof Global) || typeof key !== 'string' || !isSize(elements) || view !== null)
    return undefined;
  return { key, type: type.path.slice(type.path.lastIndexOf('.') + 1), elements };
}

function sizesOf(value: PickleValue | undefined): readonly number[] | undefined {
  const sizes = value instanceof Call && calleeOf(value) === SIZE ? value.parameters[0] : value;
  return Array.isArray(sizes) && sizes.every(isSize) ? sizes : undefined;
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

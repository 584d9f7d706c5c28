import { quote, UserError } from '../errors.ts';
import type { StoredType, TensorEntry } from '../formats/safetensors.ts';

/** A convolution of a graph. */
export interface OnnxConvolution {
  /** Names of its constants. */
  readonly weight: string;
  readonly bias: string | undefined;
  /** Name of what it computes. */
  readonly output: string;
  /** Zeros before its first row. */
  readonly padding: number;
}

/** The weights of an ONNX file. */
export interface OnnxWeights {
  /** Float constants by name. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** In the order of the graph. */
  readonly convolutions: readonly OnnxConvolution[];
}

/** Far more than any network has nodes and constants: what a message takes is bounded by it. */
const MOST_FIELDS = 2 ** 20;
const FIX = 'Copy or make the file again.';
/** TensorProto's types and their bytes. */
const TYPES: Readonly<Record<number, readonly [StoredType, number]>> = {
  1: ['F32', 4],
  10: ['F16', 2],
  11: ['F64', 8],
  16: ['BF16', 2],
};
/** TensorProto.data_location: in a file beside this one. */
const EXTERNAL = 1;

/** Fields of ONNX's messages that are read here. */
const MODEL = { graph: 7 } as const;
const GRAPH = { node: 1, initializer: 5 } as const;
const NODE = { input: 1, output: 2, type: 4, attribute: 5 } as const;
const ATTRIBUTE = { name: 1, tensor: 5, integers: 8 } as const;
const TENSOR = { dims: 1, type: 2, floats: 4, name: 8, raw: 9, location: 14 } as const;

/** A field of a message: a number, or bytes. */
interface Field {
  readonly field: number;
  readonly number: number;
  readonly bytes: Uint8Array;
}

/**
 * Reads constants and convolutions of an ONNX graph, nothing else.
 * @param name shown in messages
 * @throws UserError for a file that is damaged, is no ONNX, or keeps its weights in another file
 */
export function readOnnxWeights(bytes: Uint8Array, name: string): OnnxWeights {
  const damaged = () => new UserError(`${name} is not a usable ONNX file.`, FIX);
  const graph = last(fields(bytes, damaged), MODEL.graph)?.bytes;
  if (!graph?.length) throw damaged();
  const tensors = new Map<string, TensorEntry>();
  const aliases = new Map<string, string>();
  const convolutions: OnnxConvolution[] = [];
  const add = (tensor: Uint8Array, given?: string) => {
    const all = fields(tensor, damaged);
    const key = given ?? textOf(last(all, TENSOR.name));
    const entry = tensorOf(all, damaged, () => `${name} keeps ${quote(key)} in another file.`);
    if (entry) tensors.set(key, entry);
  };
  const parts = fields(graph, damaged);
  for (const { bytes: initializer } of parts.filter(({ field }) => field === GRAPH.initializer)) add(initializer);
  for (const { bytes: part } of parts.filter(({ field }) => field === GRAPH.node)) {
    const all = fields(part, damaged);
    const inputs = all.filter(({ field }) => field === NODE.input).map(textOf);
    const output = textOf(all.find(({ field }) => field === NODE.output));
    const attributes = all.filter(({ field }) => field === NODE.attribute).map((each) => fields(each.bytes, damaged));
    const type = textOf(last(all, NODE.type));
    const tensor = attributes.flatMap((each) => last(each, ATTRIBUTE.tensor)?.bytes ?? [])[0];
    if (type === 'Constant' && tensor) add(tensor, output);
    if (type === 'Identity' && inputs[0] !== undefined) aliases.set(output, aliases.get(inputs[0]) ?? inputs[0]);
    if (type === 'Conv' && inputs[1] !== undefined) {
      const pads = attributes.find((each) => textOf(last(each, ATTRIBUTE.name)) === 'pads');
      const [weight, bias] = [inputs[1], inputs[2]].map((given) => given && (aliases.get(given) ?? given));
      convolutions.push({
        weight: weight!,
        bias: bias || undefined,
        output,
        padding: integers(pads ?? [], ATTRIBUTE.integers, damaged)[0] ?? 0,
      });
    }
  }
  return { tensors, convolutions };
}

/** Undefined for a type that holds no floats. */
function tensorOf(all: readonly Field[], damaged: () => UserError, elsewhere: () => string): TensorEntry | undefined {
  const [dtype, width] = TYPES[last(all, TENSOR.type)?.number ?? 0] ?? [];
  if (!dtype || !width) return undefined;
  if (last(all, TENSOR.location)?.number === EXTERNAL) throw new UserError(elsewhere(), 'Export it into one file.');
  const shape = integers(all, TENSOR.dims, damaged);
  const bytes = last(all, TENSOR.raw)?.bytes ?? last(all, TENSOR.floats)?.bytes ?? new Uint8Array();
  if (shape.reduce((product, size) => product * size, width) !== bytes.length) throw damaged();
  return { dtype, shape, bytes };
}

const last = (all: readonly Field[], field: number) => all.findLast((each) => each.field === field);

const textOf = (field: Field | undefined) => new TextDecoder().decode(field?.bytes);

/** A repeated whole number, whether packed or one by one. */
function integers(all: readonly Field[], field: number, damaged: () => UserError): number[] {
  return all
    .filter((each) => each.field === field)
    .flatMap(({ number, bytes }) => {
      if (bytes.length === 0) return [number];
      const values: number[] = [];
      for (let at = 0; at < bytes.length; ) {
        const [value, end] = varint(bytes, at, damaged);
        values.push(value);
        at = end;
      }
      return values;
    });
}

/** The fields of a message, one after the other. Their bytes are views. */
function fields(bytes: Uint8Array, damaged: () => UserError): Field[] {
  const all: Field[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [tag, from] = varint(bytes, at, damaged);
    if (all.length >= MOST_FIELDS) throw damaged();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === WIRE.varint) {
      const [number, end] = varint(bytes, from, damaged);
      all.push({ field, number, bytes: NONE });
      at = end;
      continue;
    }
    const fixed = wire === WIRE.long ? 8 : wire === WIRE.word ? 4 : undefined;
    if (fixed === undefined && wire !== WIRE.bytes) throw damaged();
    const [length, start] = fixed === undefined ? varint(bytes, from, damaged) : [fixed, from];
    at = start + length;
    if (at > bytes.length) throw damaged();
    all.push({ field, number: 0, bytes: bytes.subarray(start, at) });
  }
  return all;
}

const WIRE = { varint: 0, long: 1, bytes: 2, word: 5 } as const;
const NONE = new Uint8Array();
const LONGEST_VARINT = 10;

/** Base 128, least significant group first. What is beyond 2^53 is rounded, and no size of anything. */
function varint(bytes: Uint8Array, at: number, damaged: () => UserError): readonly [value: number, end: number] {
  let value = 0;
  for (let i = 0; i < LONGEST_VARINT; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return [value, at + i + 1];
  }
  throw damaged();
}

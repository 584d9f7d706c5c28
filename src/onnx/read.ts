import { quote, UserError } from '../errors.ts';
import type { StoredType, TensorEntry } from '../formats/safetensors.ts';
import { damagedFile, type Field, fields, last, textOf, varintAt } from './fields.ts';

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

/**
 * Reads constants and convolutions of an ONNX graph, nothing else.
 * @param name shown in messages
 * @throws UserError for a file that is damaged, is no ONNX, or keeps its weights in another file
 */
export function readOnnxWeights(bytes: Uint8Array, name: string): OnnxWeights {
  const damaged = damagedFile(name);
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

/** A repeated whole number, whether packed or one by one. */
function integers(all: readonly Field[], field: number, damaged: () => UserError): number[] {
  return all
    .filter((each) => each.field === field)
    .flatMap(({ number, bytes }) => {
      if (bytes.length === 0) return [number];
      const values: number[] = [];
      for (let at = 0; at < bytes.length; ) {
        const [value, end] = varintAt(bytes, at, damaged);
        values.push(value);
        at = end;
      }
      return values;
    });
}

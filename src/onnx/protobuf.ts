/** The part of ONNX's protobuf format that networks of this library need (IR version 8, opset 17). */

export interface OnnxTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array | Int32Array | Int8Array | Uint8Array;
}

/** An integer, a list of integers, or text. */
export type OnnxAttribute = number | readonly number[] | string;

export interface OnnxNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly output: string;
  /** Outputs after the first. */
  readonly more?: readonly string[] | undefined;
  readonly attributes?: Readonly<Record<string, OnnxAttribute>> | undefined;
}

export interface OnnxValue {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly tensors: readonly OnnxTensor[];
  /** Float tensors. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Kept as the model's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

const OPSET = 17;
const IR_VERSION = 8;
const FLOAT = 1;
/** AttributeProto types. */
const ATTRIBUTE = { integer: 2, text: 3, integers: 7 } as const;

const encoder = new TextEncoder();

/** Base 128, least significant group first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}

const integer = (field: number, value: number) => Uint8Array.from([...varint(field << 3), ...varint(value)]);

function bytes(field: number, content: Uint8Array): Uint8Array {
  return join([Uint8Array.from([...varint((field << 3) | 2), ...varint(content.length)]), content]);
}

export const text = (field: number, value: string) => bytes(field, encoder.encode(value));
export const message = (field: number, parts: readonly Uint8Array[]) => bytes(field, join(parts));

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function valueInfo(field: number, { name, shape }: OnnxValue) {
  const dimensions = shape.map((size) => message(1, [integer(1, size)]));
  return message(field, [text(1, name), message(2, [message(1, [integer(1, FLOAT), message(2, dimensions)])])]);
}

function dataType(data: OnnxTensor['data']): number {
  if (data instanceof Float32Array) return FLOAT;
  if (data instanceof Uint8Array) return 2;
  if (data instanceof Int8Array) return 3;
  return data instanceof Int32Array ? 6 : 7;
}

function attribute(name: string, value: OnnxAttribute): Uint8Array {
  if (typeof value === 'string') return message(5, [text(1, name), text(4, value), integer(20, ATTRIBUTE.text)]);
  if (typeof value === 'number') return message(5, [text(1, name), integer(3, value), integer(20, ATTRIBUTE.integer)]);
  return message(5, [text(1, name), ...value.map((each) => integer(8, each)), integer(20, ATTRIBUTE.integers)]);
}

/** Bytes of a `.onnx` file. */
export function encodeOnnx({ nodes, tensors, inputs, outputs, metadata = {} }: OnnxGraph): Uint8Array {
  const graph = [
    ...nodes.map((node) =>
      message(1, [
        ...node.inputs.map((name) => text(1, name)),
        text(2, node.output),
        ...(node.more ?? []).map((name) => text(2, name)),
        text(3, node.output),
        text(4, node.type),
        ...Object.entries(node.attributes ?? {}).map(([name, value]) => attribute(name, value)),
      ]),
    ),
    text(2, 'network'),
    ...tensors.map(({ name, shape, data }) =>
      message(5, [
        ...shape.map((size) => integer(1, size)),
        integer(2, dataType(data)),
        text(8, name),
        bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
      ]),
    ),
    ...inputs.map((value) => valueInfo(11, value)),
    ...outputs.map((value) => valueInfo(12, value)),
  ];
  return join([
    integer(1, IR_VERSION),
    text(2, 'raad-webgpu'),
    message(8, [integer(2, OPSET)]),
    message(7, graph),
    ...Object.entries(metadata).map(([key, value]) => message(14, [text(1, key), text(2, value)])),
  ]);
}

/** Just enough of ONNX (protobuf, opset 17) to hand a chain of float convolutions to another runtime. */

export interface OnnxTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface OnnxNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly output: string;
  /** Integer lists, such as `kernel_shape`. */
  readonly attributes?: Readonly<Record<string, readonly number[]>>;
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly weights: readonly OnnxTensor[];
  readonly input: { readonly name: string; readonly shape: readonly number[] };
  readonly output: { readonly name: string; readonly shape: readonly number[] };
}

const OPSET = 17;
const IR_VERSION = 8;
const FLOAT = 1;
const INTS = 7;

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

const text = (field: number, value: string) => bytes(field, encoder.encode(value));
const message = (field: number, parts: readonly Uint8Array[]) => bytes(field, join(parts));

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function valueInfo(field: number, { name, shape }: { readonly name: string; readonly shape: readonly number[] }) {
  const dimensions = shape.map((size) => message(1, [integer(1, size)]));
  return message(field, [text(1, name), message(2, [message(1, [integer(1, FLOAT), message(2, dimensions)])])]);
}

/** Bytes of a `.onnx` file. */
export function encodeOnnx({ nodes, weights, input, output }: OnnxGraph): Uint8Array {
  const graph = [
    ...nodes.map((node) =>
      message(1, [
        ...node.inputs.map((name) => text(1, name)),
        text(2, node.output),
        text(4, node.type),
        ...Object.entries(node.attributes ?? {}).map(([name, values]) =>
          message(5, [text(1, name), ...values.map((value) => integer(8, value)), integer(20, INTS)]),
        ),
      ]),
    ),
    text(2, 'network'),
    ...weights.map(({ name, shape, data }) =>
      message(5, [
        ...shape.map((size) => integer(1, size)),
        integer(2, FLOAT),
        text(8, name),
        bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
      ]),
    ),
    valueInfo(11, input),
    valueInfo(12, output),
  ];
  return join([integer(1, IR_VERSION), message(8, [integer(2, OPSET)]), message(7, graph)]);
}

import type { UserError } from '../errors.ts';
import { damagedFile, type Field, fields, textOf } from './fields.ts';
import { join, message, text } from './protobuf.ts';

/** Fields of ONNX's messages that are read here. */
const MODEL = { graph: 7 } as const;
const GRAPH = { node: 1, initializer: 5, input: 11, output: 12, value: 13 } as const;
const NODE = { input: 1, output: 2, attribute: 5 } as const;
const ATTRIBUTE = { graph: 6, graphs: 11 } as const;
const NAMED = 1;
const TENSOR_NAME = 8;

/**
 * The part of a network that some values of its graph take: a `.onnx` file that tells them and computes nothing else. Runtimes
 * compute what nobody asks for, too.
 * @param outputs names of values
 * @param name shown in messages
 * @throws UserError for a file that is damaged or no ONNX
 */
export function subgraph(model: Uint8Array, outputs: readonly string[], name: string): Uint8Array {
  const damaged = damagedFile(name);
  const all = fields(model, damaged);
  // Messages of protobuf that lie one behind the other are one.
  const graphs = all.filter(({ field }) => field === MODEL.graph);
  const parts = graphs.flatMap(({ bytes }) => fields(bytes, damaged));
  if (parts.length === 0) throw damaged();
  const nodes = parts.filter(({ field }) => field === GRAPH.node).map((node) => nodeOf(node, damaged));
  const needed = new Set(outputs);
  const kept = new Set<Field>();
  // Nodes stand after those that they read.
  for (const { node, reads, makes } of nodes.reverse()) {
    if (!makes.some((value) => needed.has(value))) continue;
    kept.add(node);
    for (const value of [...reads, ...makes]) needed.add(value);
  }
  const initializers = parts.filter(({ field }) => field === GRAPH.initializer);
  const nameOf = ({ bytes }: Field, field: number) =>
    textOf(fields(bytes, damaged).find((each) => each.field === field));
  const dropped = new Set(initializers.map((each) => nameOf(each, TENSOR_NAME)).filter((value) => !needed.has(value)));
  const stays = (part: Field): boolean => {
    switch (part.field) {
      case GRAPH.node:
        return kept.has(part);
      case GRAPH.initializer:
        return !dropped.has(nameOf(part, TENSOR_NAME));
      case GRAPH.input:
        // Older files list constants as inputs, too.
        return !dropped.has(nameOf(part, NAMED));
      case GRAPH.value:
        return needed.has(nameOf(part, NAMED));
      default:
        return part.field !== GRAPH.output;
    }
  };
  const told = parts.filter(({ field }) => field === GRAPH.output);
  return join([
    ...all.filter(({ field }) => field !== MODEL.graph).map(({ whole }) => whole),
    message(MODEL.graph, [
      ...parts.filter(stays).map(({ whole }) => whole),
      ...outputs.map(
        (value) =>
          told.find((each) => nameOf(each, NAMED) === value)?.whole ?? message(GRAPH.output, [text(NAMED, value)]),
      ),
    ]),
  ]);
}

/** Values that a node reads and makes. A node with graphs of its own (If, Loop) reads what their nodes do. */
function nodeOf(node: Field, damaged: () => UserError) {
  const all = fields(node.bytes, damaged);
  const reads = all.filter(({ field }) => field === NODE.input).map(textOf);
  const inner = all
    .filter(({ field }) => field === NODE.attribute)
    .flatMap(({ bytes }) => fields(bytes, damaged))
    .filter(({ field, bytes }) => (field === ATTRIBUTE.graph || field === ATTRIBUTE.graphs) && bytes.length > 0)
    .flatMap(({ bytes }) => fields(bytes, damaged));
  for (const each of inner) if (each.field === GRAPH.node) reads.push(...nodeOf(each, damaged).reads);
  for (const each of inner) if (each.field === GRAPH.output) reads.push(textOf(fields(each.bytes, damaged)[0]));
  return { node, reads, makes: all.filter(({ field }) => field === NODE.output).map(textOf) };
}

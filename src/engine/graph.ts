import type { Caps } from './caps.ts';
import { ShapeError } from './errors.ts';
import type { ShaderSource } from './shaderText.ts';

/** `f32` and `u32` are one element per 32-bit word; an image pixel is one `u32` word 0xAABBGGRR (bytes R, G, B, A). */
export type DataType = 'f32' | 'u32';

export interface TensorType {
  /** Row-major; images and feature maps are NCHW, convolution weights OIHW. `[]` is a scalar. */
  readonly shape: readonly number[];
  readonly dtype: DataType;
}

/** CPU values of a tensor by its type: float64 for `f32` tensors, since the CPU path is the reference. */
export interface ValuesByType {
  readonly f32: Float64Array;
  readonly u32: Uint32Array;
}

/** CPU values of a tensor. */
export type Values = ValuesByType[DataType];

/**
 * What an op takes, in order, by data type: `readonly ['f32', 'u32']`. A rest stands for what may be absent or there several
 * times: `readonly ['f32', 'f32', ...'f32'[]]` for a convolution with or without a bias. By default any number of any type.
 */
export type Signature = readonly DataType[];

/** Types of an op's inputs. */
export type InputTypes<S extends Signature> = { readonly [K in keyof S]: TensorType };

/** Values of an op's inputs. */
export type InputValues<S extends Signature> = { readonly [K in keyof S]: ValuesByType[S[K] & DataType] };

/** Nodes whose values are an op's inputs. */
export type InputNodes<S extends Signature> = { readonly [K in keyof S]: Node };

export interface Cost {
  /** Multiply-adds count as two. */
  readonly flops: number;
  /** Bytes that have to be read and written at least once. */
  readonly bytes: number;
}

export type ParamValue = { readonly type: 'u32' | 'i32' | 'f32'; readonly value: number };
export const u32 = (value: number): ParamValue => ({ type: 'u32', value });
export const f32 = (value: number): ParamValue => ({ type: 'f32', value });
export const i32 = (value: number): ParamValue => ({ type: 'i32', value });

/** One dispatch. Bindings in `@group(0)`: the node's inputs in order, its output, then the uniform `params`. */
export interface Kernel {
  readonly shader: Shader;
  /** Specialization baked into the shader text; part of the pipeline's cache key. */
  readonly defines?: Readonly<Record<string, number | string>>;
  /** Values in the uniform buffer, which declares those that are there; equal pipelines may have different ones. */
  readonly params?: Readonly<Record<string, ParamValue>>;
  /** Number of workgroups. */
  readonly grid: readonly [number, number?, number?];
}

/** A hand-written shader: its file name under `shaders/` and its text. */
export interface Shader {
  readonly name: string;
  readonly source: ShaderSource;
}

/**
 * One way to compute an op.
 * @typeParam A @typeParam S as for {@link Op}
 */
export interface Variant<A, S extends Signature = Signature> {
  readonly name: string;
  /** The kind of adapter that it is made for: on others it is neither a default nor tried by the tuner, but can be forced. */
  readonly madeFor?: 'cpu' | 'gpu';
  /** What the variant cannot do without. Forcing a variant that is not supported is an error. */
  supports?(caps: Caps, node: Node<A, S>): boolean;
  /**
   * Of a variant that keeps values as halves on the way, which only plans of precision `f16` use: the largest error to expect,
   * as a share of the largest value of the result.
   */
  rounds?(node: Node<A, S>): number;
  /**
   * Of a variant that computes in f32 what others of the op compute exactly in integers: the largest error to expect, as a
   * share of the largest value of the result before it is stored.
   */
  error?(node: Node<A, S>): number;
  /** Whether it is the default choice there, given that it is supported; true when absent. */
  suits?(caps: Caps, node: Node<A, S>): boolean;
  /** The same result by simpler ops ... */
  lower?(node: Node<A, S>, caps: Caps): Node | undefined;
  /** ... or, where that is absent or undefined, one dispatch. */
  kernel?(node: Node<A, S>, caps: Caps): Kernel;
}

/**
 * An operation. Graph nodes hold their op themselves, so there is no registry, and unused ops drop out of a bundle.
 * @typeParam A the attributes, plain JSON
 * @typeParam S the inputs: with their number and types known, no member has to check or cast them
 */
export interface Op<A, S extends Signature = Signature> {
  readonly name: string;
  /** Output type. @throws ShapeError naming the op and the shapes. */
  infer(inputs: InputTypes<S>, attrs: A): TensorType;
  /** Of ops that no table of rules knows: gradients with respect to the inputs (`undefined`: none), given that of the output. */
  gradient?(node: Node<A, S>, dy: Node, needs: readonly boolean[]): readonly (Node | undefined)[];
  /** The definition: plain loops in float64. */
  reference(inputs: InputValues<S>, node: Node<A, S>): Values;
  cost?(node: Node<A, S>): Cost;
  /** In order of preference. */
  readonly variants: readonly Variant<A, S>[];
  /**
   * Index of the input whose memory the output takes over, so that several dispatches can write one tensor. That input
   * must have no other reader.
   */
  continues?(node: Node<A, S>): number | undefined;
  /**
   * The element of the first input from which on the output lies there: it is a part of that value, and no dispatch. Elements
   * in rows of 64 can be bound on every device.
   */
  part?(node: Node<A, S>): number;
  /**
   * The same value by fewer nodes, if there is such a thing.
   * @param isOnlyUser whether this node alone uses that input, which may then disappear into it
   */
  fuse?(node: Node<A, S>, isOnlyUser: (input: Node) => boolean): Node | undefined;
  /**
   * The value of a node that alone uses this one, if this op can compute that as well: a convolution the pooling behind it.
   * @param user has this node among its inputs
   */
  extend?(node: Node<A, S>, user: Node): Node | undefined;
  /**
   * The same value by fewer dispatches, when every node is one: takes in what produces an input. A variant of its own, chosen
   * like any other, decides whether a device does so.
   * @param isOnlyUser whether this node alone uses that input
   */
  absorb?(node: Node<A, S>, isOnlyUser: (input: Node) => boolean): Node | undefined;
  /** Indices of the inputs (parameters) that the op overwrites. Such an op has no output of its own. */
  readonly updates?: readonly number[];
}

// biome-ignore lint/suspicious/noExplicitAny: a graph mixes ops with different attributes
type Any = any;

export interface Node<A = Any, S extends Signature = Signature> {
  readonly op: Op<A, S>;
  readonly attrs: A;
  readonly inputs: InputNodes<S>;
  readonly type: TensorType;
  /** Shown in logs and profiles. */
  readonly label: string;
}

export function size(type: TensorType): number {
  return type.shape.reduce((product, n) => product * n, 1);
}

export function describe(type: TensorType): string {
  return `${type.dtype}[${type.shape.join('x')}]`;
}

/** Whether a node is one of an op, whose attributes and inputs are known then. */
export function isOf<A, S extends Signature>(node: Node, op: Op<A, S>): node is Node<A, S> {
  return node.op === op;
}

/** Makes a node; the output type follows from the inputs. @throws ShapeError */
export function makeNode<A, S extends Signature>(
  op: Op<A, S>,
  inputs: NoInfer<InputNodes<S>>,
  attrs: A,
  label = op.name,
): Node<A, S> {
  const nodes: readonly Node[] = inputs;
  const types: readonly TensorType[] = nodes.map((input) => input.type);
  const type = op.infer(types as InputTypes<S>, attrs);
  for (const n of type.shape) {
    if (!Number.isInteger(n) || n < 1) {
      throw new ShapeError(
        `${op.name}: ${types.map(describe).join(', ')} gives the impossible shape ${describe(type)}.`,
      );
    }
  }
  return { op, attrs, inputs, type, label };
}

/** Asserts inside `infer`. */
export function expectShapes(op: string, ok: boolean, inputs: readonly TensorType[], expected: string): void {
  if (!ok) {
    throw new ShapeError(`${op}: got ${inputs.map(describe).join(', ')}, expected ${expected}.`);
  }
}

const source = (name: string): Op<SourceAttrs, readonly []> => ({
  name,
  infer: (_, attrs) => attrs.type,
  reference: () => {
    throw new Error(`${name} has no value of its own`);
  },
  variants: [],
});

interface SourceAttrs {
  readonly name: string;
  readonly type: TensorType;
  readonly parameter?: Parameter;
}

const inputOp = source('input');
const parameterOp = source('parameter');

/** A value that lives across runs: weights, optimizer state, statistics. */
export class Parameter {
  readonly name: string;
  readonly type: TensorType;
  readonly node: Node;
  #data: Float32Array | Uint32Array | undefined;

  constructor(name: string, type: TensorType, data?: Float32Array | Uint32Array) {
    const length = size(type);
    if (data && data.length !== length) {
      throw new ShapeError(`parameter ${name}: ${data.length} values given for ${describe(type)}.`);
    }
    this.name = name;
    this.type = type;
    this.#data = data;
    this.node = makeNode(parameterOp, [], { name, type, parameter: this }, name);
  }

  /**
   * Host copy, uploaded when a plan that uses the parameter is compiled. Zeros are made when they are first asked for, so
   * that networks can be described before it is known that their weights exist.
   */
  get data(): Float32Array | Uint32Array {
    this.#data ??= this.type.dtype === 'f32' ? new Float32Array(size(this.type)) : new Uint32Array(size(this.type));
    return this.#data;
  }

  set data(values: Float32Array | Uint32Array) {
    this.#data = values;
  }
}

/** A value given anew for every run. */
export function input(name: string, shape: readonly number[], dtype: DataType = 'f32'): Node {
  return makeNode(inputOp, [], { name, type: { shape, dtype } }, name);
}

export function isInput(node: Node): boolean {
  return isOf(node, inputOp);
}

export function parameterOf(node: Node): Parameter | undefined {
  return isOf(node, parameterOp) ? node.attrs.parameter : undefined;
}

export function inputName(node: Node): string {
  return (node.attrs as SourceAttrs).name;
}

/** All nodes that the roots depend on, inputs before users; iterative, since graphs may be deep. */
export function topologicalOrder(roots: readonly Node[]): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, 'open' | 'done'>();
  for (const root of roots) {
    const stack: Node[] = [root];
    while (stack.length > 0) {
      const node = stack[stack.length - 1]!;
      const seen = state.get(node);
      if (seen === undefined) {
        state.set(node, 'open');
        for (let i = node.inputs.length - 1; i >= 0; i--) {
          if (!state.has(node.inputs[i]!)) stack.push(node.inputs[i]!);
        }
      } else {
        stack.pop();
        if (seen === 'open') {
          state.set(node, 'done');
          order.push(node);
        }
      }
    }
  }
  return order;
}

/** Rebuilds a graph bottom-up; `rewrite` gets a node whose inputs are already rewritten. Shared nodes stay shared. */
export function rewriteGraph(roots: readonly Node[], rewrite: (node: Node, original: Node) => Node): Node[] {
  const done = new Map<Node, Node>();
  for (const node of topologicalOrder(roots)) {
    const inputs = node.inputs.map((input) => done.get(input)!);
    const same = inputs.every((input, i) => input === node.inputs[i]);
    done.set(node, rewrite(same ? node : { ...node, inputs }, node));
  }
  return roots.map((root) => done.get(root)!);
}

/** Evaluates a graph on the CPU in float64 by the ops' reference code: the oracle of all tests. */
export function evaluateReference(roots: readonly Node[], inputs: ReadonlyMap<Node, Values>): Values[] {
  const values = new Map<Node, Values>(inputs);
  for (const node of topologicalOrder(roots)) {
    if (values.has(node)) continue;
    const parameter = parameterOf(node);
    if (parameter) {
      values.set(node, parameter.data instanceof Uint32Array ? parameter.data : Float64Array.from(parameter.data));
      continue;
    }
    values.set(
      node,
      node.op.reference(
        node.inputs.map((i) => values.get(i)!),
        node,
      ),
    );
  }
  return roots.map((root) => values.get(root)!);
}

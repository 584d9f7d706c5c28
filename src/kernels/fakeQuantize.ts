import shader from '../../shaders/fake_quantize.wgsl';
import type { Caps } from '../engine/caps.ts';
import {
  expectShapes,
  f32,
  type InputTypes,
  type InputValues,
  makeNode,
  type Node,
  type Op,
  size,
  u32,
} from '../engine/graph.ts';
import { roundHalfEven } from '../formats/half.ts';
import { WORKGROUP } from './common.ts';

export interface FakeQuantizeAttrs {
  /** Smallest and largest code, relative to the zero point. */
  readonly least: number;
  readonly most: number;
  /** What is added to a code: 0.5 for 2-bit weights, which stand for half steps. */
  readonly offset: number;
}

/**
 * Rounds to codes and back, for training: y = scale * (clamp(round(x * (1 / scale) - offset), least, most) + offset). The gradient
 * passes straight through where nothing is clipped; that of the scale is LSQ's, with respect to its logarithm and scaled by
 * 1 / sqrt(elements per scale * most) (Esser et al. 2020; RAAD, recalibration).
 * @param x any shape
 * @param logScale natural logarithms of the scales; each belongs to so many elements of x in sequence
 */
export function fakeQuantize(x: Node, logScale: Node, attrs: FakeQuantizeAttrs, label?: string): Node {
  return makeNode(fakeQuantizeOp, [x, logScale], attrs, label ?? `${x.label}.fake`);
}

/** Elements of a row that one invocation handles, about. */
const PER_INVOCATION = 8;
/** Invocations that sum the gradient of all scales: enough to fill a GPU, few enough that one invocation can add them. */
const SUMS_IN_FLIGHT = 2048;

/** Workgroups that share a row. */
function rowGroups(rows: number, length: number, most: number): number {
  return Math.max(1, Math.min(Math.ceil(length / (PER_INVOCATION * WORKGROUP)), Math.ceil(most / rows)));
}

function sumGroups(rows: number, length: number): number {
  return rowGroups(rows, length, SUMS_IN_FLIGHT / WORKGROUP);
}

/** x and the logarithms of its scales, then the gradient that comes from above, if it does. */
type FakeQuantizeSignature = readonly ['f32', 'f32', ...'f32'[]];
type FakeQuantizeNode = Node<FakeQuantizeAttrs, FakeQuantizeSignature>;

function kernelOf(role: 'value' | 'inputGrad' | 'scaleGrad', node: FakeQuantizeNode, caps: Caps) {
  const { least, most, offset } = node.attrs;
  const rows = size(node.inputs[1].type);
  const length = size(node.inputs[0].type) / rows;
  const limit = caps.limits.maxComputeWorkgroupsPerDimension;
  const folds = Math.ceil(rows / limit);
  const groups = role === 'scaleGrad' ? sumGroups(rows, length) : rowGroups(rows, length, limit);
  return {
    shader: { name: 'fake_quantize.wgsl', source: shader },
    defines: { SUM: Number(role === 'scaleGrad'), GRADIENT: Number(role !== 'value'), WORKGROUP },
    params: { rows: u32(rows), length: u32(length), least: f32(least), most: f32(most), offset: f32(offset) },
    grid: [groups, Math.ceil(rows / folds), folds] as const,
  };
}

function reference(
  value: (at: { scale: number; place: number; code: number; inside: boolean; dy: number }, offset: number) => number,
) {
  return ([x, logScale, dy]: InputValues<FakeQuantizeSignature>, node: FakeQuantizeNode): Float64Array => {
    const { least, most, offset } = node.attrs;
    const row = x.length / logScale.length;
    return Float64Array.from(x, (each, i) => {
      const scale = Math.exp(logScale[Math.floor(i / row)]!);
      const place = each * (1 / scale) - offset;
      const code = Math.min(Math.max(roundHalfEven(place), least), most);
      const inside = place >= least && place <= most;
      return value({ scale, place, code, inside, dy: dy?.[i] ?? 0 }, offset);
    });
  };
}

const scaleTerms = reference(({ scale, place, code, inside, dy }, offset) => {
  return dy * scale * (inside ? code - place : code + offset);
});

const infer = (inputs: InputTypes<FakeQuantizeSignature>) => {
  const [x, logScale] = inputs;
  const ok = size(x) % size(logScale) === 0;
  expectShapes('fakeQuantize', ok, inputs, 'a number of scales that divides the number of elements');
  return x;
};

export const fakeQuantizeOp: Op<FakeQuantizeAttrs, FakeQuantizeSignature> = {
  name: 'fakeQuantize',
  infer,
  reference: reference(({ scale, code }, offset) => scale * (code + offset)),
  cost: (node) => ({ flops: 6 * size(node.type), bytes: 8 * size(node.type) }),
  variants: [{ name: 'rows', kernel: (node, caps) => kernelOf('value', node, caps) }],
};

/** Straight-through gradient: dy where x is not clipped. Inputs x, logScale, dy. */
export const fakeQuantizeGradOp: Op<FakeQuantizeAttrs, FakeQuantizeSignature> = {
  name: 'fakeQuantizeGrad',
  infer,
  reference: reference(({ inside, dy }) => (inside ? dy : 0)),
  variants: [{ name: 'rows', kernel: (node, caps) => kernelOf('inputGrad', node, caps) }],
};

/** Partial sums of the gradient of the logarithm of each scale. Inputs x, logScale, dy. @returns [scales, sums] */
export const fakeQuantizeScaleGradOp: Op<FakeQuantizeAttrs, FakeQuantizeSignature> = {
  name: 'fakeQuantizeScaleGrad',
  infer(inputs) {
    const elements = size(infer(inputs));
    const rows = size(inputs[1]);
    return { shape: [rows, sumGroups(rows, elements / rows) * WORKGROUP], dtype: 'f32' };
  },
  reference(inputs, node) {
    const terms = scaleTerms(inputs, node);
    const [rows, sums] = node.type.shape as [number, number];
    const length = terms.length / rows;
    const y = new Float64Array(rows * sums);
    terms.forEach((term, i) => {
      y[Math.floor(i / length) * sums + ((i % length) % sums)]! += term;
    });
    return y;
  },
  variants: [{ name: 'rows', kernel: (node, caps) => kernelOf('scaleGrad', node, caps) }],
};

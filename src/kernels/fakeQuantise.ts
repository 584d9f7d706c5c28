import shader from '../../shaders/fake_quantise.wgsl';
import type { Caps } from '../engine/caps.ts';
import { expectShapes, f32, makeNode, type Node, type Op, size, u32, type Values } from '../engine/graph.ts';
import { foldedGrid, inputType, WORKGROUP } from './common.ts';
import { roundHalfEven } from './half.ts';
import { sumOp } from './sum.ts';

export interface FakeQuantiseAttrs {
  /** Smallest and largest code, relative to the zero point. */
  readonly least: number;
  readonly most: number;
  /** What is added to a code: 0.5 for 2-bit weights, which stand for half steps. */
  readonly offset: number;
}

/**
 * Rounds to codes and back, for training: y = scale * (clamp(round(x / scale - offset), least, most) + offset). The gradient
 * passes straight through where nothing is clipped; that of the scale is LSQ's, with respect to its logarithm and scaled by
 * 1 / sqrt(elements per scale * most) (Esser et al. 2020; RAAD, recalibration).
 * @param x any shape
 * @param logScale natural logarithms of the scales; each belongs to so many elements of x in sequence
 */
export function fakeQuantise(x: Node, logScale: Node, attrs: FakeQuantiseAttrs, label?: string): Node {
  return makeNode(fakeQuantiseOp, [x, logScale], attrs, label ?? `${x.label}.fake`);
}

function kernelOf(role: 'value' | 'inputGrad' | 'scaleTerm', node: Node<FakeQuantiseAttrs>, caps: Caps) {
  const { least, most, offset } = node.attrs;
  return {
    shader: { name: 'fake_quantise.wgsl', source: shader },
    defines: { ROLE: role, GRADIENT: Number(role !== 'value'), WORKGROUP },
    params: {
      size: u32(size(node.type)),
      row: u32(size(node.type) / size(inputType(node, 1))),
      least: f32(least),
      most: f32(most),
      offset: f32(offset),
    },
    grid: foldedGrid(size(node.type), caps),
  };
}

function reference(
  value: (at: { scale: number; place: number; code: number; inside: boolean; dy: number }, offset: number) => number,
) {
  return ([x, logScale, dy]: readonly Values[], node: Node<FakeQuantiseAttrs>): Float64Array => {
    const { least, most, offset } = node.attrs;
    const row = x!.length / logScale!.length;
    return Float64Array.from(x!, (each, i) => {
      const scale = Math.exp(logScale![Math.floor(i / row)]!);
      const place = each / scale - offset;
      const code = Math.min(Math.max(roundHalfEven(place), least), most);
      const inside = place >= least && place <= most;
      return value({ scale, place, code, inside, dy: dy?.[i] ?? 0 }, offset);
    });
  };
}

const infer: Op<FakeQuantiseAttrs>['infer'] = (inputs) => {
  const [x, logScale] = inputs;
  const ok = size(x!) % size(logScale!) === 0;
  expectShapes('fakeQuantise', ok, inputs, 'a number of scales that divides the number of elements');
  return x!;
};

export const fakeQuantiseOp: Op<FakeQuantiseAttrs> = {
  name: 'fakeQuantise',
  infer,
  gradient(node, dy, needs) {
    const [x, logScale] = node.inputs as [Node, Node];
    const scales = size(logScale.type);
    const row = size(x.type) / scales;
    const scaleGradient = () => {
      const term = makeNode(fakeQuantiseScaleTermOp, [x, logScale, dy], node.attrs, `${node.label}.dscale.term`);
      const factor = 1 / Math.sqrt(row * Math.max(1, node.attrs.most));
      const attrs = { outer: 1, keep: scales, inner: row, factor, shape: logScale.type.shape };
      return makeNode(sumOp, [term], attrs, `${node.label}.dscale`);
    };
    return [
      needs[0] ? makeNode(fakeQuantiseGradOp, [x, logScale, dy], node.attrs, `${node.label}.dx`) : undefined,
      needs[1] ? scaleGradient() : undefined,
    ];
  },
  reference: reference(({ scale, code }, offset) => scale * (code + offset)),
  cost: (node) => ({ flops: 6 * size(node.type), bytes: 8 * size(node.type) }),
  variants: [{ name: 'element', kernel: (node, caps) => kernelOf('value', node, caps) }],
};

/** Straight-through gradient: dy where x is not clipped. Inputs x, logScale, dy. */
export const fakeQuantiseGradOp: Op<FakeQuantiseAttrs> = {
  name: 'fakeQuantiseGrad',
  infer,
  reference: reference(({ inside, dy }) => (inside ? dy : 0)),
  variants: [{ name: 'element', kernel: (node, caps) => kernelOf('inputGrad', node, caps) }],
};

/** Elements' parts of the gradient of the logarithm of the scale. Inputs x, logScale, dy. */
export const fakeQuantiseScaleTermOp: Op<FakeQuantiseAttrs> = {
  name: 'fakeQuantiseScaleTerm',
  infer,
  reference: reference(({ scale, place, code, inside, dy }, offset) => {
    return dy * scale * (inside ? code - place : code + offset);
  }),
  variants: [{ name: 'element', kernel: (node, caps) => kernelOf('scaleTerm', node, caps) }],
};

import { ShapeError } from '../engine/errors.ts';
import type { GradientRule, GradientRules } from '../engine/gradient.ts';
import { expectShapes, makeNode, type Op, type Signature, size } from '../engine/graph.ts';
import { avgPool2dOp } from '../kernels/avgPool2d.ts';
import { conv2dOp } from '../kernels/conv2d.ts';
import { dropout, dropoutOp } from '../kernels/dropout.ts';
import { addOp, broadcast, scale, scaleOp, squaredDifferenceOp } from '../kernels/elementwise.ts';
import { fakeQuantizeGradOp, fakeQuantizeOp, fakeQuantizeScaleGradOp } from '../kernels/fakeQuantize.ts';
import { pad2d, pad2dOp } from '../kernels/pad2d.ts';
import { resizeBilinearOp } from '../kernels/resizeBilinear.ts';
import { embedOuterOp, sliceOuterOp } from '../kernels/slice.ts';
import { channelSum, sumOp } from '../kernels/sum.ts';
import { avgPool2dGradOp } from './avgPool2dGrad.ts';
import { conv2dInputGrad } from './conv2dInputGrad.ts';
import { conv2dWeightGrad } from './conv2dWeightGrad.ts';
import { reluGrad, squaredDifferenceGradOp } from './elementwiseGrad.ts';
import { resizeBilinearGradOp } from './resizeBilinearGrad.ts';

/** A rule of a table, whose node has the op's attributes and inputs. */
export function rule<A, S extends Signature>(
  op: Op<A, S>,
  of: NoInfer<GradientRule<A, S>>,
): readonly [Op<unknown>, GradientRule<unknown>] {
  return [op as Op<unknown>, of as GradientRule<unknown>];
}

/** The rules of the package's own ops: apart from them, so that inference does not carry the kernels of backward passes. */
export const GRADIENT_RULES: GradientRules = new Map([
  rule(addOp, (_, dy) => [dy, dy]),
  rule(scaleOp, (node, dy) => [scale(dy, node.attrs.factor)]),
  rule(squaredDifferenceOp, ({ inputs: [a, b] }, dy, needs) => [
    needs[0] ? makeNode(squaredDifferenceGradOp, [a, b, dy], { factor: 2 }) : undefined,
    needs[1] ? makeNode(squaredDifferenceGradOp, [a, b, dy], { factor: -2 }) : undefined,
  ]),
  rule(sumOp, (node, dy) => {
    const { keep, factor } = node.attrs;
    expectShapes('sum gradient', keep === 1, [node.type], 'a scalar sum');
    return [broadcast(dy, node.inputs[0].type.shape, factor)];
  }),
  rule(pad2dOp, (node, dy) => {
    const { top, bottom, left, right, dilation, mirrored } = node.attrs;
    expectShapes('pad2d gradient', dilation === 1 && !mirrored, [node.type], 'zeros around it, and dilation 1');
    return [pad2d(dy, { top: -top, bottom: -bottom, left: -left, right: -right })];
  }),
  rule(sliceOuterOp, (node, dy) => {
    const attrs = { start: node.attrs.start, shape: node.inputs[0].type.shape };
    return [makeNode(embedOuterOp, [dy], attrs, `${node.label}.dx`)];
  }),
  rule(avgPool2dOp, (node, dy) => {
    const attrs = { ...node.attrs, shape: node.inputs[0].type.shape };
    return [makeNode(avgPool2dGradOp, [dy], attrs, `${node.label}.dx`)];
  }),
  rule(resizeBilinearOp, (node, dy) => {
    return [makeNode(resizeBilinearGradOp, [dy], { shape: node.inputs[0].type.shape }, `${node.label}.dx`)];
  }),
  rule(dropoutOp, (node, dy) => [dropout(dy, node.inputs[1], node.attrs, `${node.label}.dx`), undefined]),
  rule(conv2dOp, (node, dy, needs) => {
    const { stride, padding, relu, pool, groups, firstChannel } = node.attrs;
    if (pool || groups > 1 || firstChannel) {
      throw new ShapeError(
        `conv2d: ${node.label} pools or reads some channels only, and therefore has no gradient; use avgPool2d and slices.`,
      );
    }
    const [x, w, bias] = node.inputs;
    const dz = relu ? reluGrad(dy, node) : dy;
    return [
      needs[0] ? conv2dInputGrad(dz, w, { stride, padding, shape: x.type.shape }, `${node.label}.dx`) : undefined,
      needs[1] ? conv2dWeightGrad(x, dz, { stride, padding, shape: w.type.shape }, `${node.label}.dw`) : undefined,
      bias && needs[2] ? channelSum(dz, `${node.label}.db`) : undefined,
    ];
  }),
  rule(fakeQuantizeOp, (node, dy, needs) => {
    const [x, logScale] = node.inputs;
    const scales = size(logScale.type);
    const row = size(x.type) / scales;
    const scaleGradient = () => {
      const sums = makeNode(fakeQuantizeScaleGradOp, [x, logScale, dy], node.attrs, `${node.label}.dscale.sums`);
      const factor = 1 / Math.sqrt(row * Math.max(1, node.attrs.most));
      const attrs = { outer: 1, keep: scales, inner: size(sums.type) / scales, factor, shape: logScale.type.shape };
      return makeNode(sumOp, [sums], attrs, `${node.label}.dscale`);
    };
    return [
      needs[0] ? makeNode(fakeQuantizeGradOp, [x, logScale, dy], node.attrs, `${node.label}.dx`) : undefined,
      needs[1] ? scaleGradient() : undefined,
    ];
  }),
]);

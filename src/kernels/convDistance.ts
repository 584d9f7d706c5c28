import type { Caps } from '../engine/caps.ts';
import { ShapeError } from '../engine/errors.ts';
import { expectShapes, isOf, makeNode, type Node, type Op, type TensorType, type Variant } from '../engine/graph.ts';
import { channelDistance, channelDistanceReference } from './channelDistance.ts';
import { nchw } from './common.ts';
import { conv2dOp, PLAIN, winogradSuits } from './conv2d.ts';
import { conv2dReference } from './conv2dReference.ts';
import { type Conv2dAttrs, type Conv2dNode, type Conv2dSignature, convOutput } from './conv2dShape.ts';
import { differenceWeights } from './differenceWeights.ts';
import { add, scale } from './elementwise.ts';
import { halvesError, wholePairs } from './halves.ts';
import { pad2d } from './pad2d.ts';
import { winogradConvolution, winogradDistance } from './winograd.ts';
import { WINOGRAD_TILES } from './winogradTiles.ts';

/** Winograd's output tiles, in order of preference. */
const TILES = [3, 4, 2] as const;

interface ConvDistanceAttrs {
  /** The convolution reads the channels of `x` from here on. */
  readonly firstChannel: number;
}

/**
 * Mean over channels of (conv2d(x, w) + bias - target)^2: a last layer and the anomaly map behind it, so that the layer's
 * features need not be written.
 * @param x [N, C, H, W], C >= firstChannel + CI
 * @param w [CO, CI, K, K]
 * @param bias [CO]
 * @param target [N, CO, OH, OW]; zero when absent
 * @returns [N, 1, OH, OW]
 * @throws ShapeError
 */
export function convDistance(
  x: Node,
  w: Node,
  bias: Node,
  target: Node | undefined,
  attrs: ConvDistanceAttrs = { firstChannel: 0 },
  label?: string,
): Node {
  return makeNode(convDistanceOp, target ? [x, w, bias, target] : [x, w, bias], attrs, label);
}

/** x, w, bias and, if there is one, the target. */
type DistanceSignature = readonly ['f32', 'f32', 'f32', ...'f32'[]];
type DistanceNode = Node<ConvDistanceAttrs, DistanceSignature>;

function features({
  inputs: [x, w, bias],
  attrs,
  label,
}: Pick<DistanceNode, 'inputs' | 'attrs' | 'label'>): Conv2dNode {
  return makeNode(conv2dOp, [x, w, bias], { ...PLAIN, ...attrs }, label);
}

export const convDistanceOp: Op<ConvDistanceAttrs, DistanceSignature> = {
  name: 'convDistance',
  infer(inputs, { firstChannel }) {
    const [x, w, bias, target] = inputs;
    const [n, c, h, width] = nchw(x);
    const [co, ci, kh, kw] = nchw(w);
    const [oh, ow] = [convOutput(h, kh, 1, 0), convOutput(width, kw, 1, 0)];
    const ok =
      firstChannel + ci <= c &&
      bias.shape.join() === String(co) &&
      (!target || target.shape.join() === [n, co, oh, ow].join());
    expectShapes('convDistance', ok, inputs, 'x [N, C, H, W], w [CO, CI, K, K], bias [CO], target [N, CO, OH, OW]');
    return { shape: [n, 1, oh, ow], dtype: 'f32' };
  },
  reference([x, w, bias, target], node) {
    const conv = features(node);
    return channelDistanceReference([conv2dReference([x, w, bias], conv), target], conv.type);
  },
  cost: (node) => conv2dOp.cost!(features(node)),
  fuse(node, isOnlyUser) {
    const [x, w, bias, target] = node.inputs;
    if (!target || !isOf(target, conv2dOp) || !isOnlyUser(target)) return undefined;
    const { attrs } = target;
    const isPlain = attrs.stride === 1 && attrs.groups === 1 && !attrs.relu && !attrs.pool && !attrs.firstChannel;
    if (!isPlain) return undefined;
    return convDifference(x, w, bias, target, node.attrs, node.label);
  },
  variants: [
    ...TILES.map(winogradHalvesVariant),
    ...TILES.map((m) => winogradVariant(m)),
    {
      name: 'features',
      lower: (node) => channelDistance(features(node), node.inputs[3], `${node.label}.distance`),
    },
  ],
};

function winogradVariant(m: number, halves = false): Variant<ConvDistanceAttrs, DistanceSignature> {
  return {
    name: `winograd${m}`,
    supports(_, node) {
      const [, , kh, kw] = nchw(node.inputs[1].type);
      return kh === kw && (WINOGRAD_TILES[kh]?.includes(m) ?? false);
    },
    suits: (_, node) => winogradSuits(node.inputs[1].type, m),
    lower(node, caps) {
      const [x, w, bias, target] = node.inputs;
      const k = w.type.shape[2]!;
      const { firstChannel } = node.attrs;
      const conv = { x, w, bias, target, m, k, padding: 0, groups: 1, firstChannel, label: node.label, halves };
      return winogradDistance(conv, node.type, caps);
    },
  };
}

/** The same with halves between the transforms. */
function winogradHalvesVariant(m: number): Variant<ConvDistanceAttrs, DistanceSignature> {
  const floats = winogradVariant(m, true);
  return {
    ...floats,
    name: `${floats.name}Halves`,
    supports: (caps, node) =>
      floats.supports!(caps, node) && wholePairs(node.inputs[1].type.shape, { groups: 1, ...node.attrs }),
    madeFor: 'gpu',
    // Of the square of what is off by the convolution's error.
    rounds: (node) => 2 * halvesError({ m, k: node.inputs[1].type.shape[2]! }),
  };
}

interface ConvDifferenceAttrs extends ConvDistanceAttrs {
  /** Of the convolution that is the target. */
  readonly target: Conv2dAttrs;
}

/**
 * Mean over channels of (conv2d(x, w) + bias - target)^2, where the target is the result of a convolution.
 * @param x [N, C, H, W], C >= firstChannel + CI
 * @param w [CO, CI, K, K]
 * @param bias [CO]
 * @param target a conv2d of stride 1 in one group over all its channels, without rectifier and pool, [N, CO, OH, OW]
 * @returns [N, 1, OH, OW]
 * @throws ShapeError
 */
export function convDifference(
  x: Node,
  w: Node,
  bias: Node,
  target: Node,
  attrs: ConvDistanceAttrs = { firstChannel: 0 },
  label?: string,
): Node {
  if (!isOf(target, conv2dOp)) throw new ShapeError(`convDifference: its target is a ${target.op.name}, not a conv2d.`);
  return makeNode(convDifferenceOp, [x, w, bias, ...target.inputs], { ...attrs, target: target.attrs }, label);
}

/** Those of the convolution, then those of its target. */
type DifferenceSignature = readonly ['f32', 'f32', 'f32', ...Conv2dSignature];
type DifferenceNode = Node<ConvDifferenceAttrs, DifferenceSignature>;

/** A {@link convDistance} whose target is a convolution by a node of its own. */
function separate(node: DifferenceNode): DistanceNode {
  const [x, w, bias] = node.inputs;
  return makeNode(convDistanceOp, [x, w, bias, targetOf(node)], { firstChannel: node.attrs.firstChannel }, node.label);
}

function targetOf({ inputs: [, , , ...operands], attrs: { target }, label }: DifferenceNode): Conv2dNode {
  return makeNode(conv2dOp, operands, target, `${label}.target`);
}

/** Of a kernel of that side: the default. */
function largestTile(k: number): number {
  return WINOGRAD_TILES[k]![0]!;
}

/** Input channels of a lot of steps, of which none may lie in both inputs. */
const WHOLE_LOTS = 16;

function differenceVariant(m: number) {
  return {
    madeFor: 'gpu' as const,
    supports(_: Caps, node: DifferenceNode): boolean {
      const [, channels, kh, kw] = nchw(node.inputs[1].type);
      const [, , otherHeight, otherWidth] = nchw(node.inputs[4].type);
      const exists = kh === kw && (WINOGRAD_TILES[kh]?.includes(m) ?? false);
      return exists && Math.max(otherHeight, otherWidth) <= kh && channels % WHOLE_LOTS === 0;
    },
  };
}

/** Both convolutions as one by F(m x m, k x k). */
function differenceOf(node: DifferenceNode, m: number) {
  const [x, w, bias, other, otherWeights, otherBias] = node.inputs;
  const { target, firstChannel } = node.attrs;
  const { label } = node;
  const k = w.type.shape[2]!;
  const [, , otherHeight, otherWidth] = nchw(otherWeights.type);
  // Taps that only fill the kernel.
  const [bottom, right] = [k - otherHeight, k - otherWidth];
  const taps = bottom + right > 0 ? pad2d(otherWeights, { bottom, right }, `${label}.taps`) : otherWeights;
  return {
    ...{ x, m, k, padding: 0, groups: 1, firstChannel, label },
    w: differenceWeights(w, taps, `${label}.weights`),
    second: { x: other, padding: target.padding },
    bias: otherBias ? add(bias, scale(otherBias, -1), `${label}.bias`) : bias,
  };
}

/**
 * A {@link convDistance} whose target is a convolution, too: with as large a result, stride 1 and no rectifier, so that the
 * difference of both is one convolution over the channels of both inputs.
 */
export const convDifferenceOp: Op<ConvDifferenceAttrs, DifferenceSignature> = {
  name: 'convDifference',
  infer([x, w, bias, ...operands], { target, firstChannel }) {
    return convDistanceOp.infer([x, w, bias, conv2dOp.infer(operands, target)], { firstChannel });
  },
  reference([x, w, bias, ...operands], node) {
    return convDistanceOp.reference([x, w, bias, conv2dReference(operands, targetOf(node))], separate(node));
  },
  cost(node) {
    const [ours, target] = [convDistanceOp.cost!(separate(node)), conv2dOp.cost!(targetOf(node))];
    return { flops: ours.flops + target.flops, bytes: ours.bytes + target.bytes };
  },
  variants: [
    {
      // Two convolutions with halves take less time than one with floats.
      name: 'separateHalves',
      madeFor: 'gpu',
      supports(caps, node) {
        const [, , k] = nchw(node.inputs[1].type);
        return k in WINOGRAD_TILES && winogradHalvesVariant(largestTile(k)).supports!(caps, separate(node));
      },
      suits: (_, node) => winogradSuits(node.inputs[1].type, largestTile(nchw(node.inputs[1].type)[2])),
      // Of the square of what is off by the errors of both.
      rounds(node) {
        const [, , k] = nchw(node.inputs[1].type);
        return 4 * halvesError({ m: largestTile(k), k });
      },
      lower: separate,
    },
    ...TILES.map((m) => ({
      ...differenceVariant(m),
      name: `winograd${m}`,
      suits: (_: Caps, node: DifferenceNode) => winogradSuits(node.inputs[1].type, m),
      lower(node: DifferenceNode, caps: Caps) {
        return winogradDistance({ ...differenceOf(node, m), target: undefined }, node.type, caps);
      },
    })),
    ...TILES.map((m) => ({
      ...differenceVariant(m),
      name: `features${m}`,
      // The difference is written, for devices on which that takes less time than a sum over channels in few workgroups.
      suits: () => false,
      lower(node: DifferenceNode, caps: Caps) {
        const [n, , h, w] = nchw(node.type);
        const type: TensorType = { shape: [n, node.inputs[1].type.shape[0]!, h, w], dtype: 'f32' };
        const conv = { ...differenceOf(node, m), relu: false, pool: false };
        return channelDistance(winogradConvolution(conv, type, caps), undefined, `${node.label}.distance`);
      },
    })),
    { name: 'separate', lower: separate },
  ],
};

import type { Caps } from '../engine/caps.ts';
import { expectShapes, makeNode, type Node, type Op, type TensorType, type Variant } from '../engine/graph.ts';
import { channelDistance, channelDistanceOp } from './channelDistance.ts';
import { inputType, nchw } from './common.ts';
import { conv2d, conv2dOp, winogradSuits } from './conv2d.ts';
import { type Conv2dAttrs, convOutput } from './conv2dShape.ts';
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

function features(node: Node<ConvDistanceAttrs>): Node {
  const [x, w, bias] = node.inputs as [Node, Node, Node];
  return conv2d(x, w, bias, node.attrs, node.label);
}

export const convDistanceOp: Op<ConvDistanceAttrs> = {
  name: 'convDistance',
  infer(inputs, { firstChannel }) {
    const [x, w, bias, target] = inputs as [TensorType, TensorType, TensorType, TensorType | undefined];
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
  reference(inputs, node) {
    const conv = features(node);
    const y = conv2dOp.reference(inputs.slice(0, 3), conv);
    const operands = [y, ...inputs.slice(3)];
    const distance = { ...node, inputs: [conv, ...node.inputs.slice(3)], attrs: {} } as Node;
    return channelDistanceOp.reference(operands, distance);
  },
  cost: (node) => conv2dOp.cost!(features(node)),
  fuse(node, isOnlyUser) {
    const [x, w, bias, target] = node.inputs as [Node, Node, Node, Node | undefined];
    if (target?.op !== conv2dOp || !isOnlyUser(target)) return undefined;
    const attrs = target.attrs as Conv2dAttrs;
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

function winogradVariant(m: number, halves = false): Variant<ConvDistanceAttrs> {
  return {
    name: `winograd${m}`,
    supports(_, node) {
      const [, , kh, kw] = nchw(inputType(node, 1));
      return kh === kw && (WINOGRAD_TILES[kh]?.includes(m) ?? false);
    },
    suits: (_, node) => winogradSuits(inputType(node, 1), m),
    lower(node, caps) {
      const [x, w, bias, target] = node.inputs as [Node, Node, Node, Node | undefined];
      const k = w.type.shape[2]!;
      const { firstChannel } = node.attrs;
      const conv = { x, w, bias, target, m, k, padding: 0, groups: 1, firstChannel, label: node.label, halves };
      return winogradDistance(conv, node.type, caps);
    },
  };
}

/** The same with halves between the transforms. */
function winogradHalvesVariant(m: number): Variant<ConvDistanceAttrs> {
  const floats = winogradVariant(m, true);
  return {
    ...floats,
    name: `${floats.name}Halves`,
    supports: (caps, node) =>
      floats.supports!(caps, node) && wholePairs(inputType(node, 1).shape, { groups: 1, ...node.attrs }),
    madeFor: 'gpu',
    // Of the square of what is off by the convolution's error.
    rounds: (node) => 2 * halvesError({ m, k: inputType(node, 1).shape[2]! }),
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
  return makeNode(convDifferenceOp, [x, w, bias, ...target.inputs], { ...attrs, target: target.attrs }, label);
}

/** Inputs of a {@link convDifferenceOp}: those of the convolution, then those of its target. */
function operandsOf({ inputs }: Node) {
  const [x, w, bias, other, otherWeights, otherBias] = inputs as [Node, Node, Node, Node, Node, Node | undefined];
  return { x, w, bias, other, otherWeights, otherBias };
}

/** A {@link convDistance} whose target is a convolution by a node of its own. */
function separate(node: Node<ConvDifferenceAttrs>): Node<ConvDistanceAttrs> {
  const { x, w, bias } = operandsOf(node);
  const { target, firstChannel } = node.attrs;
  const features = makeNode(conv2dOp, node.inputs.slice(3), target, `${node.label}.target`);
  return makeNode(convDistanceOp, [x, w, bias, features], { firstChannel }, node.label);
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
    supports(_: Caps, node: Node<ConvDifferenceAttrs>): boolean {
      const [, channels, kh, kw] = nchw(inputType(node, 1));
      const [, , otherHeight, otherWidth] = nchw(inputType(node, 4));
      const exists = kh === kw && (WINOGRAD_TILES[kh]?.includes(m) ?? false);
      return exists && Math.max(otherHeight, otherWidth) <= kh && channels % WHOLE_LOTS === 0;
    },
  };
}

/** Both convolutions as one by F(m x m, k x k). */
function differenceOf(node: Node<ConvDifferenceAttrs>, m: number) {
  const { x, w, bias, other, otherWeights, otherBias } = operandsOf(node);
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
export const convDifferenceOp: Op<ConvDifferenceAttrs> = {
  name: 'convDifference',
  infer(inputs, { target, firstChannel }) {
    const features = conv2dOp.infer(inputs.slice(3), target);
    return convDistanceOp.infer([...inputs.slice(0, 3), features], { firstChannel });
  },
  reference(inputs, node) {
    const distance = separate(node);
    const features = conv2dOp.reference(inputs.slice(3), distance.inputs[3]!);
    return convDistanceOp.reference([...inputs.slice(0, 3), features], distance);
  },
  cost(node) {
    const distance = separate(node);
    const parts = [distance, distance.inputs[3]!].map((each) => each.op.cost!(each));
    return { flops: parts[0]!.flops + parts[1]!.flops, bytes: parts[0]!.bytes + parts[1]!.bytes };
  },
  variants: [
    {
      // Two convolutions with halves take less time than one with floats.
      name: 'separateHalves',
      madeFor: 'gpu',
      supports(caps, node) {
        const [, , k] = nchw(inputType(node, 1));
        return k in WINOGRAD_TILES && winogradHalvesVariant(largestTile(k)).supports!(caps, separate(node));
      },
      suits: (_, node) => winogradSuits(inputType(node, 1), largestTile(nchw(inputType(node, 1))[2])),
      // Of the square of what is off by the errors of both.
      rounds(node) {
        const [, , k] = nchw(inputType(node, 1));
        return 4 * halvesError({ m: largestTile(k), k });
      },
      lower: separate,
    },
    ...TILES.map((m) => ({
      ...differenceVariant(m),
      name: `winograd${m}`,
      suits: (_: Caps, node: Node<ConvDifferenceAttrs>) => winogradSuits(inputType(node, 1), m),
      lower(node: Node<ConvDifferenceAttrs>, caps: Caps) {
        return winogradDistance({ ...differenceOf(node, m), target: undefined }, node.type, caps);
      },
    })),
    ...TILES.map((m) => ({
      ...differenceVariant(m),
      name: `features${m}`,
      // The difference is written, for devices on which that takes less time than a sum over channels in few workgroups.
      suits: () => false,
      lower(node: Node<ConvDifferenceAttrs>, caps: Caps) {
        const [n, , h, w] = nchw(node.type);
        const type: TensorType = { shape: [n, inputType(node, 1).shape[0]!, h, w], dtype: 'f32' };
        const conv = { ...differenceOf(node, m), relu: false, pool: false };
        return channelDistance(winogradConvolution(conv, type, caps), undefined, `${node.label}.distance`);
      },
    })),
    { name: 'separate', lower: separate },
  ],
};

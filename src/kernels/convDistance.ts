import { expectShapes, makeNode, type Node, type Op, type TensorType } from '../engine/graph.ts';
import { inputType, nchw } from './common.ts';
import { conv2d, conv2dOp, convOutput, winogradSuits } from './conv2d.ts';
import { channelDistance, channelDistanceOp } from './maps.ts';
import { WINOGRAD_TILES, winogradDistance } from './winograd.ts';

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
  variants: [
    ...[3, 4, 2].map((m) => ({
      name: `winograd${m}`,
      supports(_: unknown, node: Node<ConvDistanceAttrs>) {
        const [, , kh, kw] = nchw(inputType(node, 1));
        return kh === kw && (WINOGRAD_TILES[kh]?.includes(m) ?? false);
      },
      suits: (_: unknown, node: Node<ConvDistanceAttrs>) => winogradSuits(inputType(node, 1), m),
      lower(node: Node<ConvDistanceAttrs>, caps: Parameters<typeof winogradDistance>[2]) {
        const [x, w, bias, target] = node.inputs as [Node, Node, Node, Node | undefined];
        const k = w.type.shape[2]!;
        const { firstChannel } = node.attrs;
        const conv = { x, w, bias, target, m, k, padding: 0, groups: 1, firstChannel, label: node.label };
        return winogradDistance(conv, node.type, caps);
      },
    })),
    {
      name: 'features',
      lower: (node) => channelDistance(features(node), node.inputs[3], `${node.label}.distance`),
    },
  ],
};

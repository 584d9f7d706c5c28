import adamShader from '../../shaders/adam.wgsl';
import tickShader from '../../shaders/adam_tick.wgsl';
import { expectShapes, f32, makeNode, type Node, type Op, Parameter, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

export interface AdamAttrs {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** L2 regularisation, added to the gradient (not decoupled). */
  readonly weightDecay: number;
}

export interface ScheduleAttrs {
  readonly learningRate: number;
  /** Step (from 0) from which the learning rate is multiplied by `decay`. */
  readonly decayAt: number;
  readonly decay: number;
  /** Steps over which the rate rises from nothing, and the step at which half a cosine has brought it back there; neither if absent. */
  readonly cosine?: { readonly warmUp: number; readonly until: number } | undefined;
  readonly beta1: number;
  readonly beta2: number;
}

/** The share of the learning rate that a step takes. @param step from 0 */
function cosineShare(step: number, { warmUp, until }: NonNullable<ScheduleAttrs['cosine']>): number {
  const way = Math.min(Math.max((step - warmUp) / (until - warmUp), 0), 1);
  return Math.min((step + 1) / warmUp, 1) * 0.5 * (1 + Math.cos(Math.PI * way));
}

export const ADAM: AdamAttrs = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 1e-5 };

/** Step counter, learning rate and bias corrections: u32[4], kept on the GPU. */
export function trainingState(): Parameter {
  const data = new Uint32Array(4);
  new Float32Array(data.buffer).set([1, 1], 2);
  return new Parameter('training.state', { shape: [4], dtype: 'u32' }, data);
}

/** Advances the training state; runs before the step's {@link adam} nodes. */
export function tick(state: Node, attrs: ScheduleAttrs): Node {
  return makeNode(tickOp, [state], attrs);
}

/**
 * Adam update of one parameter, in place.
 * @param p @param m @param v parameter and its moments, equal shapes
 * @param grad gradient of the loss
 * @param state {@link trainingState}
 */
export function adam(p: Node, m: Node, v: Node, grad: Node, state: Node, attrs: AdamAttrs): Node {
  return makeNode(adamOp, [p, m, v, grad, state], attrs, `adam ${p.label}`);
}

export const tickOp: Op<ScheduleAttrs, readonly ['u32']> = {
  name: 'tick',
  updates: [0],
  infer: ([state]) => {
    expectShapes('tick', state.dtype === 'u32' && size(state) === 4, [state], 'the training state u32[4]');
    return state;
  },
  reference([state], node) {
    const { learningRate, decay, decayAt, cosine, beta1, beta2 } = node.attrs;
    const words = Uint32Array.from(state);
    const floats = new Float32Array(words.buffer);
    const step = words[0]!;
    floats[1] = (step >= decayAt ? learningRate * decay : learningRate) * (cosine ? cosineShare(step, cosine) : 1);
    floats[2]! *= beta1;
    floats[3]! *= beta2;
    words[0] = step + 1;
    return words;
  },
  variants: [
    {
      name: 'serial',
      kernel({ attrs: { learningRate, decay, decayAt, cosine, beta1, beta2 } }) {
        const rates = { learningRate: f32(learningRate), decay: f32(decay), decayAt: u32(decayAt) };
        const schedule = cosine && { warmUp: f32(cosine.warmUp), until: f32(cosine.until) };
        return {
          shader: { name: 'adam_tick.wgsl', source: tickShader },
          defines: { COSINE: Number(cosine !== undefined) },
          params: { ...rates, ...schedule, beta1: f32(beta1), beta2: f32(beta2) },
          grid: [1],
        };
      },
    },
  ],
};

export const adamOp: Op<AdamAttrs, readonly ['f32', 'f32', 'f32', 'f32', 'u32']> = {
  name: 'adam',
  updates: [0, 1, 2],
  infer(inputs) {
    const [p, m, v, grad] = inputs;
    const ok = [m, v, grad].every((t) => t.shape.join() === p.shape.join()) && inputs[4].dtype === 'u32';
    expectShapes('adam', ok, inputs, 'p, m, v and grad of equal shape, and the training state');
    return p;
  },
  /** The updated parameter; the moments follow from the same formulas. */
  reference(inputs, node) {
    const [p, m, v, grad, state] = inputs;
    const { beta1, beta2, epsilon, weightDecay } = node.attrs;
    const [, learningRate, power1, power2] = new Float32Array(Uint32Array.from(state).buffer);
    return Float64Array.from({ length: p.length }, (_, i) => {
      const g = grad[i]! + weightDecay * p[i]!;
      const first = beta1 * m[i]! + (1 - beta1) * g;
      const second = beta2 * v[i]! + (1 - beta2) * g * g;
      return p[i]! - ((learningRate! / (1 - power1!)) * first) / (Math.sqrt(second / (1 - power2!)) + epsilon);
    });
  },
  cost: (node) => ({ flops: 12 * size(node.type), bytes: 28 * size(node.type) }),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { beta1, beta2, epsilon, weightDecay } = node.attrs;
        const length = size(node.inputs[0].type);
        return {
          shader: { name: 'adam.wgsl', source: adamShader },
          defines: { WORKGROUP },
          params: {
            size: u32(length),
            beta1: f32(beta1),
            rest1: f32(1 - beta1),
            beta2: f32(beta2),
            rest2: f32(1 - beta2),
            epsilon: f32(epsilon),
            weightDecay: f32(weightDecay),
          },
          grid: foldedGrid(length, caps),
        };
      },
    },
  ],
};

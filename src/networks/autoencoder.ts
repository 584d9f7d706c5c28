import type { Node, Parameter } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import { conv2d } from '../kernels/conv2d.ts';
import { dropout } from '../kernels/dropout.ts';
import { resizeBilinear } from '../kernels/resizeBilinear.ts';
import { type ConvParameters, convParameters, PDN_CHANNELS, type PdnSize, pdnOutputSide } from './pdn.ts';

const ENCODER: Record<PdnSize, readonly number[]> = {
  xs: [16, 16, 32, 32, 32],
  s: [32, 32, 64, 64, 64],
  m: [32, 32, 64, 64, 64],
};

const DROPOUT_RATE = 0.2;

/** Where dropout takes its random numbers from; absent at inference. */
export interface DropoutSource {
  /** Training state, whose first word is the step. */
  readonly state: Node;
  readonly seed: number;
}

/** Beyond this the first feature maps alone take more memory than GPUs have. */
const MAX_SIDE = 4096;

/** The input sides that {@link isSide} takes, in words. */
export const SIDES = `a multiple of 64 from 128 to ${MAX_SIDE}`;

/** Whether the autoencoder exists for an input side in pixels. */
export function isSide(side: unknown): side is number {
  return typeof side === 'number' && side >= 128 && side <= MAX_SIDE && side % 64 === 0;
}

/** @throws UserError for an input side that no autoencoder exists for */
export function checkSide(side: number): void {
  if (!isSide(side))
    throw new UserError(`resolution ${side} cannot be used.`, `It has to be ${SIDES}: 128, 192, 256, 320, ...`);
}

/** Convolutional autoencoder that predicts the teacher's features through a 1 x 1 bottleneck; its weights belong to one side. */
export class Autoencoder {
  readonly size: PdnSize;
  readonly side: number;
  /** Side of its output: the teacher's. */
  readonly mapSide: number;
  readonly name: string;
  readonly encoder: readonly ConvParameters[];
  readonly decoder: readonly ConvParameters[];

  /** @param side input side in pixels @throws UserError unless it is a multiple of 64 from 128 to 4096 */
  constructor(size: PdnSize, side: number, mapSide = pdnOutputSide(side), name = 'autoencoder') {
    checkSide(side);
    this.size = size;
    this.side = side;
    this.mapSide = mapSide;
    this.name = name;
    const widths = ENCODER[size];
    const width = widths[widths.length - 1]!;
    let inputs = 3;
    this.encoder = [...widths, width].map((outputs, i) => {
      const kernel = i < widths.length ? 4 : side / 32;
      const parameters = convParameters(`${name}.enc${i + 1}`, outputs, inputs, kernel);
      inputs = outputs;
      return parameters;
    });
    this.decoder = Array.from({ length: 8 }, (_, i) =>
      convParameters(`${name}.dec${i + 1}`, i < 7 ? width : PDN_CHANNELS[size], width, i < 6 ? 4 : 3),
    );
  }

  get parameters(): readonly Parameter[] {
    return [...this.encoder, ...this.decoder].flatMap(({ weight, bias }) => [weight, bias]);
  }

  /** @param x [N, 3, side, side] @returns [N, channels, h, h], the teacher's output shape */
  forward(x: Node, drop?: DropoutSource): Node {
    let y = x;
    this.encoder.forEach(({ weight, bias }, i) => {
      const strided = i < this.encoder.length - 1;
      const attrs = strided ? { stride: 2, padding: 1, relu: true } : {};
      y = conv2d(y, weight.node, bias.node, attrs, `${this.name}.enc${i + 1}`);
    });
    const { side } = this;
    const sides = [side / 64 - 1, side / 32, side / 16 - 1, side / 8, side / 4 - 1, side / 2 - 1];
    this.decoder.slice(0, 6).forEach(({ weight, bias }, i) => {
      y = resizeBilinear(y, sides[i]!, sides[i]!, `${this.name}.resize${i + 1}`);
      y = conv2d(y, weight.node, bias.node, { padding: 2, relu: true }, `${this.name}.dec${i + 1}`);
      if (drop) {
        const attrs = { rate: DROPOUT_RATE, seed: drop.seed, node: i };
        y = dropout(y, drop.state, attrs, `${this.name}.dropout${i + 1}`);
      }
    });
    y = resizeBilinear(y, this.mapSide, this.mapSide, `${this.name}.resize7`);
    const [dec7, dec8] = this.decoder.slice(6) as [ConvParameters, ConvParameters];
    y = conv2d(y, dec7.weight.node, dec7.bias.node, { padding: 1, relu: true }, `${this.name}.dec7`);
    return conv2d(y, dec8.weight.node, dec8.bias.node, { padding: 1 }, `${this.name}.dec8`);
  }
}

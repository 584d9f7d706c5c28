import type { DetectorState } from '../detector/detectorState.ts';
import type { Engine } from '../engine/engine.ts';
import { input, type Node, Parameter } from '../engine/graph.ts';
import type { Plan } from '../engine/plan.ts';
import { channelDistance } from '../kernels/channelDistance.ts';
import { conv2d } from '../kernels/conv2d.ts';
import { imageToTensor } from '../kernels/image.ts';
import { resizeBilinear } from '../kernels/resizeBilinear.ts';
import { standardize } from '../kernels/standardize.ts';
import type { Networks } from '../networks/networks.ts';
import type { LayerGeometry } from '../networks/pdn.ts';
import { integerGraph, type LayerCache } from '../quantization/integerGraph.ts';
import { RidgeRegression } from './linear.ts';

/**
 * How a layer of teacher and student is compared (RAAD, hierarchical quantization scoring). `attention`: squared difference
 * of the mean squared activations, each divided by its image mean; blind to the order of channels. `ridge`: squared residual
 * of the teacher's channels regressed on the student's.
 */
export type LayerMapKind = 'attention' | 'ridge';
export const LAYER_MAP_KINDS: readonly LayerMapKind[] = ['attention', 'ridge'];

/** Outputs of one layer of teacher and student, after the activation. */
export interface LayerPair {
  /** `conv1`, `conv2`, ... */
  readonly layer: string;
  readonly geometry: LayerGeometry;
  /** [N, CT, h, w]; the last layer's are standardized. */
  readonly teacher: Node;
  /** [N, CS, h, w]; of the last layer the half that imitates the teacher. */
  readonly student: Node;
}

/** A map of one layer of one image. */
export interface LayerMap {
  readonly layer: string;
  readonly geometry: LayerGeometry;
  readonly height: number;
  readonly width: number;
  /** [height, width], higher where teacher and student differ more. */
  readonly values: Float32Array;
}

/** @param x [N, 3, side, side], ImageNet-normalized */
export function layerPairs({ teacher, student, channels, teacherMean, teacherStd }: Networks, x: Node): LayerPair[] {
  const outputs = (network: typeof teacher, last: (trunk: Node) => Node): Node[] => {
    const seen: Node[] = [];
    const trunk = network.layers(x, (y, i, attrs) => {
      const { weight, bias } = network.convolutions[i]!;
      const output = conv2d(y, weight.node, bias.node, attrs, `${network.name}.conv${i + 1}`);
      seen.push(output);
      return output;
    });
    return [...seen, last(trunk)];
  };
  const ours = outputs(teacher, (trunk) => standardize(teacher.head(trunk), teacherMean.node, teacherStd.node));
  const theirs = outputs(student, (trunk) => student.head(trunk, { channels: { start: 0, count: channels } }));
  return ours.map((output, i) => ({
    layer: `conv${i + 1}`,
    geometry: teacher.geometry[i]!,
    teacher: output,
    student: theirs[i]!,
  }));
}

/** Positions per side that regressions and alignments sample a layer at. */
const SAMPLED = 16;

/** Reads layer maps of images at the network's side. */
export class LayerMapReader {
  readonly #engine: Engine;
  readonly #cache: LayerCache = new Map();
  readonly #pairs: readonly LayerPair[];
  readonly #kind: LayerMapKind;
  readonly #regressions: Parameter[];
  #plan: Plan | undefined;

  private constructor(engine: Engine, state: DetectorState, kind: LayerMapKind, fitted?: Fitted) {
    this.#engine = engine;
    this.#kind = kind;
    const { networks, quantization } = state;
    const pairs = layerPairs(networks, imageToTensor(imageInput(networks)));
    const roots = pairs.flatMap(({ teacher, student }) => [teacher, student]);
    const outputs = quantization ? integerGraph(roots, quantization, this.#cache) : roots;
    this.#pairs = pairs.map((pair, i) => ({ ...pair, teacher: outputs[2 * i]!, student: outputs[2 * i + 1]! }));
    this.#regressions = [];
    if (!fitted) return;
    this.#pairs = this.#pairs.map((pair, i) => {
      const [targets, inputs] = [pair.teacher.type.shape[1]!, pair.student.type.shape[1]!];
      const weight = new Parameter(
        `ridge.${pair.layer}.weight`,
        { shape: [targets, inputs, 1, 1], dtype: 'f32' },
        fitted[i]!.weight,
      );
      const bias = new Parameter(`ridge.${pair.layer}.bias`, { shape: [targets], dtype: 'f32' }, fitted[i]!.bias);
      this.#regressions.push(weight, bias);
      return { ...pair, student: conv2d(pair.student, weight.node, bias.node, {}, `ridge.${pair.layer}`) };
    });
  }

  /**
   * @param normal images at the network's side [side, side] as pixel words, which `ridge` is fitted to
   */
  static async open(
    engine: Engine,
    state: DetectorState,
    kind: LayerMapKind,
    normal: readonly Uint32Array[],
  ): Promise<LayerMapReader> {
    if (kind === 'attention') return new LayerMapReader(engine, state, kind);
    const plain = new LayerMapReader(engine, state, kind);
    try {
      return new LayerMapReader(engine, state, kind, await plain.#fitRidge(normal));
    } finally {
      plain.destroy();
    }
  }

  /** The maps of all layers, first to last. @param pixels [side, side] pixel words */
  async read(pixels: Uint32Array): Promise<LayerMap[]> {
    this.#plan ??= await this.#engine.compile({ outputs: this.#outputs() });
    const plan = this.#plan;
    const names = Object.keys(this.#outputs());
    const values = (await plan.run({ image: pixels }, names)) as Record<string, Float32Array>;
    return this.#pairs.map(({ layer, geometry, teacher }) => {
      const [, , height, width] = teacher.type.shape as [number, number, number, number];
      const map =
        this.#kind === 'ridge' ? values[layer]! : difference(values[`${layer}.teacher`]!, values[`${layer}.student`]!);
      return { layer, geometry, height, width, values: map };
    });
  }

  /** Frees plans and constants on the device; the networks' parameters stay. */
  destroy(): void {
    this.#plan?.destroy();
    this.#engine.release([...this.#cache.values(), ...this.#regressions]);
  }

  #outputs(): Record<string, Node> {
    return Object.fromEntries(
      this.#pairs.flatMap(({ layer, teacher, student }): (readonly [string, Node])[] =>
        this.#kind === 'ridge'
          ? [[layer, channelDistance(teacher, student)]]
          : [
              [`${layer}.teacher`, channelDistance(teacher)],
              [`${layer}.student`, channelDistance(student)],
            ],
      ),
    );
  }

  async #fitRidge(normal: readonly Uint32Array[]): Promise<Fitted> {
    const channels = (node: Node) => node.type.shape[1]!;
    const regressions = this.#pairs.map(
      ({ teacher, student }) => new RidgeRegression(channels(student), channels(teacher)),
    );
    const sampled = Object.fromEntries(
      this.#pairs.flatMap(({ layer, teacher, student }) => [
        [`${layer}.teacher`, sample(teacher)],
        [`${layer}.student`, sample(student)],
      ]),
    );
    const plan = await this.#engine.compile({ outputs: sampled });
    try {
      for (const image of normal) {
        const values = (await plan.run({ image }, Object.keys(sampled))) as Record<string, Float32Array>;
        this.#pairs.forEach(({ layer }, i) => {
          regressions[i]!.add(values[`${layer}.student`]!, values[`${layer}.teacher`]!);
        });
      }
    } finally {
      plan.destroy();
    }
    return regressions.map((regression) => regression.solve());
  }
}

type Fitted = readonly { readonly weight: Float32Array; readonly bias: Float32Array }[];

function imageInput({ side }: Networks): Node {
  return input('image', [1, side, side], 'u32');
}

/** A layer's output at evenly spread positions. @param x [N, C, H, W] @returns [N, C, h, w], at most 16 x 16 */
export function sample(x: Node): Node {
  const [, , height, width] = x.type.shape as [number, number, number, number];
  return height <= SAMPLED && width <= SAMPLED
    ? x
    : resizeBilinear(x, Math.min(height, SAMPLED), Math.min(width, SAMPLED), `${x.label}.sample`);
}

/** Squared difference of two attention maps, each divided by its mean. */
function difference(teacher: Float32Array, student: Float32Array): Float32Array {
  const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length || 1;
  const a = mean(teacher);
  const b = mean(student);
  return teacher.map((value, i) => (value / a - student[i]! / b) ** 2);
}

/** A layer's map on the input's pixels, between positions bilinear, beyond the outermost ones constant. @returns [side, side] */
export function placeLayerMap(
  { values, height, width, geometry: { offset, stride } }: Omit<LayerMap, 'layer'>,
  side: number,
): Float32Array {
  const placed = new Float32Array(side * side);
  const taps = (extent: number) =>
    Array.from({ length: side }, (_, p) => {
      const position = Math.min(Math.max((p - offset) / stride, 0), extent - 1);
      const first = Math.min(Math.floor(position), Math.max(0, extent - 2));
      return [first, Math.min(first + 1, extent - 1), position - first] as const;
    });
  const columns = taps(width);
  taps(height).forEach(([top, bottom, ty], y) => {
    columns.forEach(([left, right, tx], x) => {
      const at = (row: number) =>
        values[row * width + left]! + tx * (values[row * width + right]! - values[row * width + left]!);
      const upper = at(top);
      placed[y * side + x] = upper + ty * (at(bottom) - upper);
    });
  });
  return placed;
}

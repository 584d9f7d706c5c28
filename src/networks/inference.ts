import { combineMaps, mapOf, stackMaps } from '../detectorOps/maps.ts';
import { siameseBias, siameseWeights } from '../detectorOps/siamese.ts';
import { input, type Node, parameterOf, size, topologicalOrder } from '../engine/graph.ts';
import { channelDistance } from '../kernels/channelDistance.ts';
import { concatOuter } from '../kernels/concat.ts';
import { conv2d } from '../kernels/conv2d.ts';
import { convDistance } from '../kernels/convDistance.ts';
import { imageToTensor } from '../kernels/image.ts';
import { sliceOuter } from '../kernels/slice.ts';
import { standardize } from '../kernels/standardize.ts';
import type { Networks } from './networks.ts';
import type { Pdn } from './pdn.ts';

/** The two raw maps and the combined one, each [N, 1, mapSide, mapSide]. */
export interface AnomalyMaps {
  readonly studentTeacher: Node;
  readonly autoencoder: Node;
  readonly combined: Node;
}

/** From pixels [N, side, side] to the maps. */
export interface InferenceGraph extends AnomalyMaps {
  readonly image: Node;
}

export interface InferenceOptions {
  /** Whose maps: {@link anomalyMaps} by default, or {@link fusedAnomalyMaps}. */
  readonly maps?: typeof anomalyMaps;
  /** Bytes that a device can bind at once: larger batches run in parts. */
  readonly bindable?: number;
  /** What the combined map passes. @param x [..., mapSide, mapSide], whose last `maps` maps it is @returns [maps, 1, mapSide, mapSide] */
  readonly filter?: ((x: Node, maps: number) => Node) | undefined;
  /** Changes the maps' graph, such as into the one that runs on packed weights. @see integerGraph */
  readonly rewrite?: (roots: readonly Node[]) => Node[];
}

/** Pixels, their normalization, and the maps. */
export function inferenceGraph(
  networks: Networks,
  quantiles: Node,
  batch: number,
  { maps: float = anomalyMaps, bindable = Number.POSITIVE_INFINITY, filter, rewrite }: InferenceOptions = {},
): InferenceGraph {
  const maps: typeof anomalyMaps = (...given) => {
    const result = float(...given);
    if (!rewrite) return result;
    const [studentTeacher, autoencoder, combined] = rewrite([
      result.studentTeacher,
      result.autoencoder,
      result.combined,
    ]);
    return { studentTeacher: studentTeacher!, autoencoder: autoencoder!, combined: combined! };
  };
  const image = input('image', [batch, networks.side, networks.side], 'u32');
  const x = imageToTensor(image);
  const most = mostAtOnce(maps(networks, quantiles, input('one', [1, ...x.type.shape.slice(1)])).combined, bindable);
  if (batch <= most) {
    // All maps as one value, which one dispatch can write.
    const { studentTeacher, autoencoder } = maps(networks, quantiles, x);
    const all = stackMaps(studentTeacher, autoencoder, quantiles, 'map.all');
    const map = (name: keyof AnomalyMaps, at: number) => mapOf(all, at, `map.${name}`);
    return {
      image,
      studentTeacher: map('studentTeacher', 0),
      autoencoder: map('autoencoder', 1),
      combined: filter ? filter(all, batch) : map('combined', 2),
    };
  }
  const parts: AnomalyMaps[] = [];
  for (let start = 0; start < batch; start += most) {
    parts.push(maps(networks, quantiles, sliceOuter(x, start, Math.min(most, batch - start))));
  }
  const joined = (key: keyof AnomalyMaps) =>
    parts.map((part) => part[key]).reduce((all, part) => concatOuter(all, part, `map.${key}`));
  const combined = joined('combined');
  return {
    image,
    studentTeacher: joined('studentTeacher'),
    autoencoder: joined('autoencoder'),
    combined: filter ? filter(combined, batch) : combined,
  };
}

/** Images that go through a graph at once, so that no value of it is larger than what a device can bind. @param one for one image */
export function mostAtOnce(one: Node, bindable: number): number {
  const values = topologicalOrder([one]).filter((node) => !parameterOf(node));
  return Math.max(1, Math.floor(bindable / Math.max(...values.map(({ type }) => 4 * size(type)))));
}

/**
 * The definition: three networks side by side, then distances (EfficientAD, section 3.3). Of a memory bank both raw maps are the
 * distance to the nearest of its vectors.
 * @param x [N, 3, side, side], ImageNet-normalized
 */
export function anomalyMaps(networks: Networks, quantiles: Node, x: Node): AnomalyMaps {
  const { teacher } = networks;
  const features = standardFeatures(networks, teacher, x);
  const distance = bankDistance(networks, features);
  if (distance) {
    const combined = combineMaps(distance, distance, quantiles, 'map.combined');
    return { studentTeacher: distance, autoencoder: distance, combined };
  }
  const { student, autoencoder, channels } = networks;
  const trunk = student.trunk(x);
  const first = student.head(trunk, { channels: { start: 0, count: channels } });
  const second = student.head(trunk, { channels: { start: channels, count: channels } });
  const studentTeacher = channelDistance(features, first, 'map.studentTeacher');
  const auto = channelDistance(autoencoder.forward(x), second, 'map.autoencoder');
  const combined = combineMaps(studentTeacher, auto, quantiles, 'map.combined');
  return { studentTeacher, autoencoder: auto, combined };
}

/** The teacher's features, standardized. @param teacher that of the networks, or the same one padded otherwise */
export function standardFeatures({ teacherMean, teacherStd }: Networks, teacher: Pdn, x: Node): Node {
  return standardize(teacher.forward(x), teacherMean.node, teacherStd.node);
}

/** The distance of features to a memory bank; undefined where there is none. */
export function bankDistance({ bank }: Networks, features: Node): Node | undefined {
  if (!bank) return undefined;
  const { weight, bias } = bank.convolution;
  return bank.distance(features, conv2d(features, weight.node, bias.node, {}, 'memory'));
}

/**
 * The same values by less work. Teacher and student run as one network: their first layers are one convolution with twice
 * the channels, the others one convolution in two groups. The normalized difference of their features is one last
 * convolution over both trunks, and both distances are taken where the last convolutions end.
 */
export function fusedAnomalyMaps(networks: Networks, quantiles: Node, x: Node): AnomalyMaps {
  if (networks.bank) return anomalyMaps(networks, quantiles, x);
  const { teacher, student, autoencoder, channels } = networks;
  const joint = jointDistance(networks, teacher, student, x);
  if (!joint) return anomalyMaps(networks, quantiles, x);
  const { trunk, studentTeacher } = joint;
  const { weight, bias } = student.convolutions.at(-1)!;
  const auto = convDistance(
    trunk,
    sliceOuter(weight.node, channels, channels),
    sliceOuter(bias.node, channels, channels),
    autoencoder.forward(x),
    { firstChannel: teacher.convolutions.at(-1)!.weight.type.shape[1]! },
    'map.autoencoder',
  );
  const combined = combineMaps(studentTeacher, auto, quantiles, 'map.combined');
  return { studentTeacher, autoencoder: auto, combined };
}

/**
 * Teacher and student as one network.
 * @returns its last hidden value, and the student-teacher map; undefined where their layers differ
 */
export function jointDistance(
  { teacherMean, teacherStd }: Networks,
  teacher: Pdn,
  student: Pdn,
  x: Node,
): { readonly trunk: Node; readonly studentTeacher: Node } | undefined {
  const last = teacher.convolutions.length - 1;
  const pairs = teacher.convolutions.map((ours, i) => [ours, student.convolutions[i]!] as const);
  const alike = pairs.slice(0, last).every(([a, b]) => a.weight.type.shape.join() === b.weight.type.shape.join());
  // The student of PDN-M has a wider last hidden layer.
  if (!alike) return undefined;

  const trunk = teacher.layers(x, (y, i, attrs) => {
    const [t, s] = pairs[i]!;
    const weight = concatOuter(t.weight.node, s.weight.node, `conv${i + 1}.weight`);
    const bias = concatOuter(t.bias.node, s.bias.node, `conv${i + 1}.bias`);
    return conv2d(y, weight, bias, { ...attrs, groups: i === 0 ? 1 : 2 }, `both.conv${i + 1}`);
  });

  const [t, s] = pairs[last]!;
  const weights = siameseWeights(t.weight.node, s.weight.node, teacherStd.node, 'difference.weight');
  const bias = siameseBias(t.bias.node, s.bias.node, teacherMean.node, teacherStd.node, 'difference.bias');
  const studentTeacher = convDistance(trunk, weights, bias, undefined, { firstChannel: 0 }, 'map.studentTeacher');
  return { trunk, studentTeacher };
}

/** What graphs of parts of images are made of. Given rather than imported, it is not fetched with what is fetched later. */
export const INFERENCE_PARTS = {
  anomalyMaps,
  bankDistance,
  channelDistance,
  imageToTensor,
  jointDistance,
  mostAtOnce,
  standardFeatures,
};
export type InferenceParts = typeof INFERENCE_PARTS;

import { input, type Node } from '../engine/graph.ts';
import type { InferenceParts } from './inference.ts';
import type { Networks } from './networks.ts';

/** What the networks see of an image that is larger than their input. */
export interface TileGeometry {
  /** Side of a tile in pixels; its map has the side of the networks' own. */
  readonly side: number;
  /** Pixels from a tile's corner to where the cell in its corner lies on the image, were it the first one there. */
  readonly before: number;
}

/**
 * Tiles of an image, each with its surroundings, so that teacher and student need no padding: those of a mirrored border are as
 * much larger as what is mirrored around the networks' input.
 */
export function tileGeometry({ side, teacher, mapGeometry }: Networks): TileGeometry {
  return { side: side + teacher.mirrored, before: teacher.unpadded().geometry.at(-1)!.offset - mapGeometry.offset };
}

/** From pixels `image` u32 [batch, side, side] to one raw map [batch, 1, mapSide, mapSide]. */
export interface PartGraph {
  readonly image: Node;
  readonly map: Node;
}

export interface PartOptions {
  readonly parts: InferenceParts;
  /** Takes teacher and student as one network where that is less work. */
  readonly isFused: boolean;
  /** Changes the map's graph. @see integerGraph */
  readonly rewrite?: ((roots: readonly Node[]) => Node[]) | undefined;
}

/** The student-teacher map of tiles, or their distance to a memory bank. */
export function tileGraph(networks: Networks, batch: number, options: PartOptions): PartGraph {
  const { side } = tileGeometry(networks);
  return partGraph(side, batch, (x) => tileMap(networks, x, options), options);
}

/** The autoencoder's map of whole images. */
export function wholeGraph(networks: Networks, options: Omit<PartOptions, 'isFused'>): PartGraph {
  const map = (x: Node) => options.parts.anomalyMaps(networks, input('quantiles', [4]), x).autoencoder;
  return partGraph(networks.side, 1, map, options);
}

/** Tiles that a device takes at once, of a wanted number. @param bindable bytes that it can bind */
export function tileBatch(networks: Networks, parts: InferenceParts, wanted: number, bindable: number): number {
  return Math.min(wanted, parts.mostAtOnce(tileGraph(networks, 1, { parts, isFused: true }).map, bindable));
}

function partGraph(
  side: number,
  batch: number,
  mapOf: (x: Node) => Node,
  { parts, rewrite = (roots) => [...roots] }: Omit<PartOptions, 'isFused'>,
): PartGraph {
  const image = input('image', [batch, side, side], 'u32');
  return { image, map: rewrite([mapOf(parts.imageToTensor(image))])[0]! };
}

function tileMap(networks: Networks, x: Node, { parts, isFused }: PartOptions): Node {
  const { bankDistance, channelDistance, jointDistance, standardFeatures } = parts;
  const teacher = networks.teacher.unpadded();
  if (networks.bank) return bankDistance(networks, standardFeatures(networks, teacher, x))!;
  const student = networks.student.unpadded();
  const joint = isFused ? jointDistance(networks, teacher, student, x) : undefined;
  if (joint) return joint.studentTeacher;
  const imitation = student.forward(x, { channels: { start: 0, count: networks.channels } });
  return channelDistance(standardFeatures(networks, teacher, x), imitation, 'map.studentTeacher');
}

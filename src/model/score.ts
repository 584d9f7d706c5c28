import { UserError } from '../errors.ts';

/**
 * The score of a map, its maximum: every score of a detector comes from here.
 * @param map values of an anomaly map, or one of its branches
 * @param name of the map, for messages
 * @throws UserError for a value that is NaN or infinite: such an image is neither normal nor anomalous
 */
export function mapScore(map: ArrayLike<number>, name = 'anomaly'): number {
  let best = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < map.length; i++) {
    const value = map[i]!;
    if (!Number.isFinite(value))
      throw new UserError(
        `the ${name} map has the value ${value}, so there is no score.`,
        "The networks' values overflow: check the model on other images, or train it again.",
      );
    if (value > best) best = value;
  }
  return best;
}

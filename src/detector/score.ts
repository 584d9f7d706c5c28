import { firstNotFinite } from '../checks/numbers.ts';
import { UserError } from '../errors.ts';

/**
 * @param map values of an anomaly map, one of its branches, or a layer's
 * @param name of the map, for messages
 * @throws UserError for a value that is NaN or infinite: such an image is neither normal nor anomalous
 */
export function checkMap(map: ArrayLike<number>, name = 'anomaly'): void {
  const at = firstNotFinite(map);
  if (at >= 0)
    throw new UserError(
      `the ${name} map has the value ${map[at]}, so there is no score.`,
      "The networks' values overflow: check the model on other images, or train it again.",
    );
}

/** The score of a map, its maximum: every score of a detector comes from here. @throws UserError for one with values that are not finite */
export function mapScore(map: ArrayLike<number>, name?: string): number {
  checkMap(map, name);
  let best = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < map.length; i++) best = Math.max(best, map[i]!);
  return best;
}

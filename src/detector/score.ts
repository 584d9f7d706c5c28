import { firstNotFinite } from '../checks/numbers.ts';
import { UserError } from '../errors.ts';
import { OUTSIDE } from '../kernels/maximum.ts';

/**
 * @param map values of an anomaly map, one of its branches, or a layer's
 * @param name of the map, for messages
 * @throws UserError for a value that is NaN or infinite, unless it lies outside of a region: such an image is neither normal nor anomalous
 */
export function checkMap(map: ArrayLike<number>, name = 'anomaly'): void {
  const at = firstWrong(map);
  if (at >= 0)
    throw new UserError(
      `the ${name} map has the value ${map[at]}, so there is no score.`,
      "The networks' values overflow: check the model on other images, or train it again.",
    );
}

/** The score of a map, its maximum: every score of a detector comes from here. @throws UserError for one with values that are not finite */
export function mapScore(map: ArrayLike<number>, name?: string): number {
  checkMap(map, name);
  return highest(map);
}

/** Index of the first value that is not finite, without those of the bits {@link OUTSIDE}; -1 when there is none. */
function firstWrong(map: ArrayLike<number>): number {
  let at = firstNotFinite(map);
  if (at < 0 || !(map instanceof Float32Array)) return at;
  const bits = new Uint32Array(map.buffer, map.byteOffset, map.length);
  while (at < map.length && (bits[at] === OUTSIDE || Number.isFinite(map[at]))) at++;
  return at < map.length ? at : -1;
}

/** The largest value that is a number. */
function highest(map: ArrayLike<number>): number {
  let best = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < map.length; i++) if (map[i]! > best) best = map[i]!;
  return best;
}

/** The score of a map as the device takes it: not finite where the map is not. */
export function scoreOf(map: Float32Array): number {
  return firstWrong(map) < 0 ? highest(map) : Number.NaN;
}

/** What judges maps. Given rather than imported, it is not fetched with what is fetched later. */
export const MAP_SCORES = { checkMap, scoreOf };
export type MapScores = typeof MAP_SCORES;

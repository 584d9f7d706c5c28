import { isRecord } from '../checks/json.ts';
import { checkedImage, type ImageSource, type RgbImage } from '../data/image.ts';
import { combineOnHost } from '../detectorOps/maps.ts';
import type { Engine } from '../engine/engine.ts';
import { Leases } from '../engine/leases.ts';
import type { Plan } from '../engine/plan.ts';
import { quote, UserError } from '../errors.ts';
import { resizeOnHost } from '../imaging/hostResize.ts';
import { drawnTiles, packTile, sized, type TiledSize, tilesPerImage } from '../imaging/tiles.ts';
import type { Networks } from '../networks/networks.ts';
import {
  type PartGraph,
  type TileGeometry,
  tileBatch,
  tileGeometry,
  tileGraph,
  wholeGraph,
} from '../networks/tiles.ts';
import type { GridMaps, MapChain, PlacedMap, RunSlices } from './mapChain.ts';
import type { PreparedImage } from './preparedImage.ts';
import type { DrawOptions, MapGrid, TiledOptions, TiledState, Tiling } from './tiling.ts';

/** Tiles that go through the networks together. */
const BATCH = 4;
/** Tiles to take statistics from. */
const DRAWN = 512;
/** Pixels of the largest images that are looked at in tiles. */
const MOST_PIXELS = 2 ** 27;

const FIX = 'Copy or make the file again.';

/**
 * Tiles of images at some size.
 * @throws UserError for a size that is none, or smaller than the networks' input
 */
export function tilingOf(size: unknown, networks: Networks, what = 'the size of tiled images', fix = FIX): Tiling {
  const isSize =
    isRecord(size) &&
    Object.keys(size).sort().join() === 'height,width' &&
    Object.values(size).every((pixels) => Number.isSafeInteger(pixels) && (pixels as number) >= networks.side);
  const { width, height } = size as TiledSize;
  if (!isSize || width * height > MOST_PIXELS)
    throw new UserError(
      `${what} is ${quote(size)}.`,
      `It has to be a width and a height of at least ${networks.side} px, the networks' input, and at most ${MOST_PIXELS} pixels in all. ${fix}`,
    );
  if (networks.padding === 'zeros')
    throw new UserError('networks that pad their layers with zeros cannot look at tiles.', fix);
  return new Tiles({ width, height });
}

class Tiles implements Tiling {
  readonly value: TiledSize;

  constructor(value: TiledSize) {
    this.value = value;
  }

  grid(networks: Networks): MapGrid {
    const { width, height } = this.value;
    return { rows: networks.positions(height), columns: networks.positions(width) };
  }

  chain(engine: Engine, state: TiledState, options: TiledOptions): MapChain {
    if (state.region)
      throw new UserError(
        'a region is not looked at in tiles.',
        'Leave out the region, or fit a detector without tiles.',
      );
    return new TiledChain(engine, state, this, options);
  }

  tiles({ side }: Networks, source: ImageSource, { wanted = DRAWN, seed }: DrawOptions): ImageSource {
    return drawnTiles(source, { size: this.value, side, perImage: tilesPerImage(source.count, wanted, side), seed });
  }
}

/**
 * From images of any size to maps, in memory on the device that does not depend on the size. Cells of tiles are those of the whole
 * image: each tile brings the surroundings that teacher and student see. What the autoencoder says of the whole is resampled at
 * their places. Maps are put together, filtered and placed on the host.
 */
class TiledChain implements MapChain {
  readonly #engine: Engine;
  readonly #state: TiledState;
  readonly #size: TiledSize;
  readonly #grid: MapGrid;
  readonly #geometry: TileGeometry;
  readonly #options: TiledOptions;
  readonly #plans: Leases<Plan>;

  constructor(engine: Engine, state: TiledState, tiling: Tiling, options: TiledOptions) {
    this.#engine = engine;
    this.#state = state;
    this.#size = tiling.value;
    this.#grid = tiling.grid(state.networks);
    this.#geometry = tileGeometry(state.networks);
    this.#options = options;
    this.#plans = new Leases('detector', 2, (plan) => {
      plan.destroy();
      options.onDisposed();
    });
  }

  async warmUp(): Promise<void> {
    await this.#with(() => Promise.resolve());
  }

  networkBytes(): Promise<number> {
    return this.#with(async (...plans) => {
      // Both have the student.
      const parameters = new Set(plans.flatMap((plan) => (plan ? [...plan.parameters] : [])));
      const values = [...parameters].reduce((sum, { type }) => sum + type.shape.reduce((a, b) => a * b, 1), 0);
      return plans.reduce((sum, plan) => sum + (plan?.memoryBytes ?? 0), 4 * values);
    });
  }

  async predict(images: readonly RgbImage[], slices?: RunSlices): Promise<(GridMaps & PlacedMap)[]> {
    const results: (GridMaps & PlacedMap)[] = [];
    for (const image of images) {
      const maps = await this.#look(image, slices);
      const map = this.#placed(maps.combined, image.width, image.height);
      results.push({ ...maps, map, score: this.#options.scores.scoreOf(map) });
    }
    return results;
  }

  async gridMaps(images: readonly RgbImage[]): Promise<GridMaps[]> {
    const results: GridMaps[] = [];
    for (const image of images) results.push(await this.#look(image));
    return results;
  }

  async place(gridMap: Float32Array, width: number, height: number): Promise<Float32Array> {
    this.#plans.assertUsable();
    this.#options.scores.checkMap(gridMap);
    return this.#placed(gridMap, width, height);
  }

  async prepare(): Promise<PreparedImage> {
    throw new UserError(
      'a detector that looks at tiles is not recorded into the commands of others.',
      'Call predict, or fit one without tiles.',
    );
  }

  destroy(): void {
    this.#plans.destroy();
  }

  async #look(given: RgbImage, slices?: RunSlices): Promise<GridMaps> {
    const image = checkedImage(given);
    const { filter } = this.#state;
    return this.#with(async (tiles, whole) => {
      const studentTeacher = await this.#stitched(tiles, sized(image, this.#size), slices);
      const autoencoder = whole ? await this.#spread(whole, image, slices) : studentTeacher;
      const combined = combineOnHost(studentTeacher, autoencoder, this.#options.quantiles.data);
      return { studentTeacher, autoencoder, combined: filter?.apply(combined, this.#grid.columns) ?? combined };
    });
  }

  /** The student-teacher map of an image, tile by tile. */
  async #stitched(plan: Plan, image: RgbImage, slices: RunSlices | undefined): Promise<Float32Array> {
    const { rows, columns } = this.#grid;
    const { mapSide, mapGeometry } = this.#state.networks;
    const { side, before } = this.#geometry;
    const [batch] = plan.outputType('map').shape as [number];
    const map = new Float32Array(rows * columns);
    const places = starts(rows, mapSide).flatMap((row) => starts(columns, mapSide).map((column) => ({ row, column })));
    const pack = (some: typeof places, words: Uint32Array) => {
      for (const [k, { row, column }] of some.entries()) {
        const [left, top] = [column, row].map((cell) => cell * mapGeometry.stride - before);
        packTile(image, { left: left!, top: top!, side }, words, k * side * side);
      }
    };
    const paste = (some: typeof places, tiles: Float32Array) => {
      for (const [k, { row, column }] of some.entries())
        for (let y = 0; y < mapSide; y++) {
          const from = (k * mapSide + y) * mapSide;
          map.set(tiles.subarray(from, from + mapSide), (row + y) * columns + column);
        }
    };
    // While the device computes some tiles, the next are packed.
    const words = [0, 1].map(() => new Uint32Array(batch * side * side));
    let finish = async () => {};
    for (let at = 0; at < places.length; at += batch) {
      const some = places.slice(at, at + batch);
      const own = words[(at / batch) % 2]!;
      pack(some, own);
      await finish();
      const running = run(plan, own, slices);
      finish = async () => paste(some, await running);
    }
    await finish();
    return map;
  }

  /** The autoencoder's map of a whole image, at the places of the tiles' positions. */
  async #spread(plan: Plan, image: RgbImage, slices: RunSlices | undefined): Promise<Float32Array> {
    const { side, mapSide, mapGeometry } = this.#state.networks;
    const { offset, stride } = mapGeometry;
    const values = await run(plan, resizeOnHost(image, side), slices);
    const { width, height } = this.#size;
    const along = (count: number, extent: number) =>
      Float64Array.from({ length: count }, (_, i) => ((offset + i * stride + 0.5) / extent) * side);
    const { rows, columns } = this.#grid;
    return this.#sampled(values, mapSide, along(rows, height), along(columns, width));
  }

  #placed(gridMap: Float32Array, width: number, height: number): Float32Array {
    const { columns } = this.#grid;
    const along = (count: number, extent: number) =>
      Float64Array.from({ length: count }, (_, i) => ((i + 0.5) / count) * extent);
    return this.#sampled(gridMap, columns, along(height, this.#size.height), along(width, this.#size.width));
  }

  /**
   * A map between its positions, bilinear; beyond the outermost ones their values.
   * @param values [rows, columns] @param down @param across where, in pixels of what the map lies on
   */
  #sampled(values: Float32Array, columns: number, down: Float64Array, across: Float64Array): Float32Array {
    const { offset, stride } = this.#state.networks.mapGeometry;
    const positionsAt = (places: Float64Array, count: number) =>
      places.map((place) => Math.min(Math.max((place - offset - 0.5) / stride, 0), count - 1));
    return sampleBilinear(values, columns, positionsAt(down, values.length / columns), positionsAt(across, columns));
  }

  /** Works with the plans of tiles and, but for a memory bank, of whole images. */
  async #with<T>(work: (tiles: Plan, whole: Plan | undefined) => Promise<T>): Promise<T> {
    const { networks, quantization } = this.#state;
    const { parts, rewrite } = this.#options;
    const engine = this.#engine;
    const tiles = await this.#plans.lease('tiles', () => {
      const batch = tileBatch(networks, parts, BATCH, engine.caps.limits.maxStorageBufferBindingSize);
      return this.#compile(tileGraph(networks, batch, { parts, isFused: !quantization, rewrite }));
    });
    try {
      if (networks.bank) return await work(tiles.value, undefined);
      const whole = await this.#plans.lease('whole', () => this.#compile(wholeGraph(networks, { parts, rewrite })));
      try {
        return await work(tiles.value, whole.value);
      } finally {
        whole.release();
      }
    } finally {
      tiles.release();
    }
  }

  #compile({ map }: PartGraph): Promise<Plan> {
    return this.#engine.compile({ outputs: { map }, precision: this.#options.precision });
  }
}

/** The first positions of tiles that cover so many: each is whole, the last one ends with them. */
function starts(count: number, mapSide: number): number[] {
  return Array.from({ length: Math.ceil(count / mapSide) }, (_, i) => Math.min(i * mapSide, count - mapSide));
}

async function run(plan: Plan, image: Uint32Array, slices: RunSlices | undefined): Promise<Float32Array> {
  if (!slices) return (await plan.run({ image }, ['map']))['map'] as Float32Array;
  plan.write('image', image);
  await slices(plan, 'a prediction');
  return (await plan.read(['map']))['map'] as Float32Array;
}

/** @param values [rows, columns] @param down @param across places between positions, from 0 to the last one */
function sampleBilinear(values: Float32Array, columns: number, down: Float64Array, across: Float64Array): Float32Array {
  const rows = values.length / columns;
  const width = across.length;
  const lefts = Uint32Array.from(across, Math.floor);
  const rights = lefts.map((left) => Math.min(left + 1, columns - 1));
  const line = (row: number) =>
    Float64Array.from(across, (x, i) => {
      const left = values[row * columns + lefts[i]!]!;
      return left + (x - lefts[i]!) * (values[row * columns + rights[i]!]! - left);
    });
  const result = new Float32Array(down.length * width);
  let [row, upper, lower] = [-1, line(0), line(0)];
  down.forEach((y, i) => {
    const above = Math.floor(y);
    if (above !== row) {
      upper = above === row + 1 ? lower : line(above);
      lower = line(Math.min(above + 1, rows - 1));
      row = above;
    }
    for (let x = 0; x < width; x++) result[i * width + x] = upper[x]! + (y - above) * (lower[x]! - upper[x]!);
  });
  return result;
}

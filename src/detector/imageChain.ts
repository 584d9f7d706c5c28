import { checkedImage, type RgbImage } from '../data/image.ts';
import { type PlaceAttrs, placeMap, placeOnHost } from '../detectorOps/maps.ts';
import type { Engine } from '../engine/engine.ts';
import { BUFFER_USAGE } from '../engine/flags.ts';
import { input } from '../engine/graph.ts';
import { type Lease, Leases } from '../engine/leases.ts';
import type { Plan } from '../engine/plan.ts';
import { StagingPool } from '../engine/staging.ts';
import { UserError } from '../errors.ts';
import type { HeatmapStyle } from '../imaging/heatmapPass.ts';
import { resizeOnHost } from '../imaging/hostResize.ts';
import {
  bindable,
  bytesToPixels,
  disposerWithParameters,
  type PartOf,
  resizable,
  rowsToPixels,
  writeBytes,
} from '../imaging/pixels.ts';
import type { RegionOfInterest, RegionView } from '../imaging/region.ts';
import { maximum, maximumInside } from '../kernels/maximum.ts';
import type { GridMaps, MapChain, PlacedMap, RunSlices } from './mapChain.ts';
import type { EncodeSizes, PreparedImage } from './preparedImage.ts';
import { checkMap, scoreOf } from './score.ts';

/** What the networks see, and where their maps lie on an image. */
export interface ChainGeometry extends Omit<PlaceAttrs, 'height' | 'width' | 'region'> {
  /** Side of the networks' maps. */
  readonly mapSide: number;
  /** The part of images that is looked at; all by default. */
  readonly region?: RegionOfInterest | undefined;
}

/** Where the plans of the networks come from, and go to. */
export interface NetworkSource {
  /** Input `image` u32 [batch, side, side], outputs {@link GridMaps} [batch, 1, mapSide, mapSide]. */
  compile(batch: number): Promise<Plan>;
  dispose(plan: Plan): void;
}

/** In the order in which they are read back. */
const MAPS = ['studentTeacher', 'autoencoder', 'combined'] as const;

/** Plans for so many batches, and image sizes, that are not in use are kept. */
const KEPT = { batches: 2, sizes: 8 } as const;

/** An image of a run with the plans of its size. */
interface Part {
  readonly image: RgbImage;
  readonly view: RegionView | undefined;
  /** Absent where the host resizes. */
  readonly resize: Plan | undefined;
  /** Absent where the host places the map, or nobody does. */
  readonly place: Plan | undefined;
  /** Where its bytes begin among those of all images, and its map in what is read back, bytes. */
  readonly bytesAt: number;
  readonly mapAt: number;
}

/**
 * From images to maps: resize, networks, placement, maximum. One chain of plans serves images on the host, which cost one round
 * trip, and those of applications, which record it into their own commands. Networks are compiled once per batch, whatever the
 * images' sizes.
 */
export class ImageChain implements MapChain {
  readonly #engine: Engine;
  readonly #geometry: ChainGeometry;
  readonly #source: NetworkSource;
  readonly #networks: Leases<Plan>;
  readonly #resizers: Leases<Plan>;
  readonly #placers: Leases<Plan>;
  readonly #prepared = new Set<PreparedImage>();
  readonly #staging: StagingPool;
  /** Bytes of the images of a batch: several may go through one plan. */
  #landing: GPUBuffer | undefined;
  /** Loaded for detectors that have a region. */
  #regions: typeof import('../imaging/region.ts') | undefined;

  constructor(engine: Engine, geometry: ChainGeometry, source: NetworkSource) {
    this.#engine = engine;
    this.#geometry = geometry;
    this.#source = source;
    this.#networks = new Leases('detector', KEPT.batches, (plan) => source.dispose(plan));
    this.#resizers = new Leases('detector', KEPT.sizes, disposerWithParameters(engine));
    this.#placers = new Leases('detector', KEPT.sizes, (plan) => plan.destroy());
    this.#staging = new StagingPool(engine);
  }

  async warmUp(batch: number): Promise<void> {
    (await this.#leaseNetworks(batch)).release();
  }

  async networkBytes(batch: number): Promise<number> {
    const { value, release } = await this.#leaseNetworks(batch);
    const bytes = value.memoryBytes + value.parameterBytes;
    release();
    return bytes;
  }

  async predict(images: readonly RgbImage[], slices?: RunSlices): Promise<(GridMaps & PlacedMap)[]> {
    const results = await this.#run(images, true, slices);
    return results.map((result, i) => {
      if (result.map) return result as GridMaps & PlacedMap;
      const { width, height } = images[i]!;
      const map = this.#placeOnHost(result.combined, width, height, this.#view(width, height));
      return { ...result, map, score: scoreOf(map) };
    });
  }

  gridMaps(images: readonly RgbImage[]): Promise<GridMaps[]> {
    return this.#run(images, false);
  }

  async place(gridMap: Float32Array, width: number, height: number): Promise<Float32Array> {
    this.#networks.assertUsable();
    // A small image may miss positions of the grid.
    checkMap(gridMap);
    await this.#loadRegions();
    const view = this.#view(width, height);
    const lease = await this.#leasePlacer(width, height, view);
    if (!lease) return this.#placeOnHost(gridMap, width, height, view);
    try {
      return (await lease.value.run({ gridMap }, ['map']))['map'] as Float32Array;
    } finally {
      lease.release();
    }
  }

  async prepare(sizes: EncodeSizes, style: HeatmapStyle): Promise<PreparedImage> {
    const [engine, { side }] = [this.#engine, this.#geometry];
    this.#networks.assertUsable();
    const { checkSizes, describeSizes, PreparedImage, paddedRow, pixelsOf } = await import('./preparedImage.ts');
    checkSizes(sizes);
    await this.#loadRegions();
    const { width, height, mapWidth = width, mapHeight = height, format = '' } = sizes;
    const rowPixels = paddedRow(width);
    const view = this.#viewOf(sizes);
    if (!this.#resizable(rowPixels, height, view) || !bindable(engine, mapWidth * mapHeight)) {
      throw new UserError(
        `prepare: ${describeSizes(sizes)} is more than this device can bind at once.`,
        'Use a smaller image or map.',
      );
    }
    const leases = await leaseAll([
      this.#resizers.lease(`${format} rows ${width}x${height}`, () =>
        rowsToPixels(engine, { width, height, rowPixels }, side, { part: this.#partOf(view), change: pixelsOf(sizes) }),
      ),
      this.#leaseNetworks(1),
      this.#leasePlacer(mapWidth, mapHeight, this.#view(mapWidth, mapHeight)),
    ]);
    const [resize, networks, place] = leases.map((lease) => lease!.value);
    const plans = { sizes, resize: resize!, networks: networks!, place: place! };
    const prepared = new PreparedImage(engine, plans, style, () => {
      this.#prepared.delete(prepared);
      for (const lease of leases) lease!.release();
    });
    this.#prepared.add(prepared);
    try {
      await prepared.compile();
    } catch (error) {
      prepared.destroy();
      throw error;
    }
    return prepared;
  }

  destroy(): void {
    for (const prepared of this.#prepared) prepared.destroy();
    for (const plans of [this.#networks, this.#resizers, this.#placers]) plans.destroy();
    this.#staging.destroy();
    this.#landing?.destroy();
    this.#landing = undefined;
  }

  async #run(
    given: readonly RgbImage[],
    places: boolean,
    slices?: RunSlices,
  ): Promise<(GridMaps & Partial<PlacedMap>)[]> {
    this.#networks.assertUsable();
    if (given.length === 0) return [];
    const images = given.map(checkedImage);
    const { side } = this.#geometry;
    const engine = this.#engine;
    await this.#loadRegions();
    const views = images.map((image) => this.#viewOf(image));
    const leases = await leaseAll([
      this.#leaseNetworks(images.length),
      ...images.flatMap((image, i) => [
        this.#resizable(image.width, image.height, views[i])
          ? this.#resizers.lease(`${image.width}x${image.height}`, () =>
              bytesToPixels(engine, image, side, this.#partOf(views[i])),
            )
          : undefined,
        places ? this.#leasePlacer(image.width, image.height, views[i]) : undefined,
      ]),
    ]);
    try {
      const [networks, ...plans] = leases.map((lease) => lease?.value);
      let bytesAt = 0;
      let mapAt = MAPS.length * images.length * this.#gridBytes;
      const parts = images.map((image, i): Part => {
        const [resize, place] = [plans[2 * i], plans[2 * i + 1]];
        const part = { image, view: views[i], resize, place, bytesAt, mapAt };
        bytesAt += 4 * Math.ceil(image.data.length / 4);
        if (place) mapAt += 4 * (image.width * image.height + 1);
        return part;
      });
      const sizes = { bytes: bytesAt, results: mapAt };
      return await (slices
        ? this.#submitSlices(networks!, parts, sizes, slices)
        : this.#submit(networks!, parts, sizes));
    } finally {
      for (const lease of leases) lease?.release();
    }
  }

  /** Records everything at once, so that runs that are under way together do not mix. */
  #submit(
    networks: Plan,
    parts: readonly Part[],
    { bytes, results }: { readonly bytes: number; readonly results: number },
  ): Promise<(GridMaps & Partial<PlacedMap>)[]> {
    const [first, ...others] = networks.encodeParts();
    const start = (encoder: GPUCommandEncoder) => {
      this.#upload(encoder, networks, parts, bytes);
      first!(encoder);
    };
    return this.#read(networks, parts, results, [start, ...others]);
  }

  async #submitSlices(
    networks: Plan,
    parts: readonly Part[],
    { bytes, results }: { readonly bytes: number; readonly results: number },
    run: RunSlices,
  ): Promise<(GridMaps & Partial<PlacedMap>)[]> {
    await this.#engine.submit('a prediction', (encoder) => this.#upload(encoder, networks, parts, bytes));
    await run(networks, 'a prediction');
    return this.#read(networks, parts, results, []);
  }

  /** Submits commands and what copies the results of a run, and reads these. */
  #read(
    networks: Plan,
    parts: readonly Part[],
    results: number,
    commands: readonly ((encoder: GPUCommandEncoder) => void)[],
  ): Promise<(GridMaps & Partial<PlacedMap>)[]> {
    const [first, last] = [commands.slice(0, -1), commands.at(-1)];
    const submit = (staging: GPUBuffer) =>
      this.#engine.submit('a prediction', ...first, (encoder) => {
        last?.(encoder);
        this.#encodeResults(encoder, networks, parts, staging);
      });
    return this.#staging.read(results, submit, (mapped) => {
      const floats = (at: number, count: number) => new Float32Array(mapped, at, count).slice();
      const size = this.#gridBytes;
      return parts.map(({ image: { width, height }, place, mapAt }, i) => {
        const gridMaps = Object.fromEntries(
          MAPS.map((name, k) => [name, floats((k * parts.length + i) * size, size / 4)]),
        ) as unknown as GridMaps;
        if (!place) return gridMaps;
        const pixels = width * height;
        return { ...gridMaps, map: floats(mapAt, pixels), score: floats(mapAt + 4 * pixels, 1)[0]! };
      });
    });
  }

  #upload(encoder: GPUCommandEncoder, networks: Plan, parts: readonly Part[], bytes: number): void {
    const { device } = this.#engine;
    const { side } = this.#geometry;
    const target = networks.inputBuffer('image');
    const landing = parts.length > 1 ? this.#land(bytes) : undefined;
    for (const [i, { image, view, resize, bytesAt }] of parts.entries()) {
      const at = i * side * side * 4;
      if (!resize) {
        const part = view ? this.#regions!.uprightOnHost(image, view) : image;
        device.queue.writeBuffer(target, at, resizeOnHost(part, side) as Uint32Array<ArrayBuffer>);
        continue;
      }
      const source = resize.inputBuffer('bytes');
      writeBytes(device, landing ?? source, landing ? bytesAt : 0, image.data);
      if (landing) {
        encoder.copyBufferToBuffer(landing, bytesAt, source, 0, 4 * Math.ceil(image.data.length / 4));
      }
      resize.encode(encoder);
      resize.copyOutput(encoder, 'pixels', target, at);
    }
  }

  #encodeResults(encoder: GPUCommandEncoder, networks: Plan, parts: readonly Part[], staging: GPUBuffer): void {
    const size = this.#gridBytes;
    for (const [k, name] of MAPS.entries()) {
      networks.copyOutput(encoder, name, staging, k * parts.length * size);
    }
    const { buffer, offset = 0 } = networks.outputBinding('combined');
    for (const [i, { image, place, mapAt }] of parts.entries()) {
      if (!place) continue;
      encoder.copyBufferToBuffer(buffer, offset + i * size, place.inputBuffer('gridMap'), 0, size);
      place.encode(encoder);
      place.copyOutput(encoder, 'map', staging, mapAt);
      place.copyOutput(encoder, 'score', staging, mapAt + 4 * image.width * image.height);
    }
  }

  get #gridBytes(): number {
    return 4 * this.#geometry.mapSide ** 2;
  }

  /** Runs use it one after the other, as they are submitted. */
  #land(bytes: number): GPUBuffer {
    if (!this.#landing || this.#landing.size < bytes) {
      this.#landing?.destroy();
      const usage = BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST;
      this.#landing = this.#engine.device.createBuffer({ label: 'images', size: bytes, usage });
    }
    return this.#landing;
  }

  #leaseNetworks(batch: number): Promise<Lease<Plan>> {
    return this.#networks.lease(String(batch), () => this.#source.compile(batch));
  }

  /** Input `gridMap` [1, 1, mapSide, mapSide], outputs `map` and its maximum `score`; undefined where the device cannot hold the map. */
  #leasePlacer(width: number, height: number, view: RegionView | undefined): Promise<Lease<Plan>> | undefined {
    const engine = this.#engine;
    if (!bindable(engine, width * height)) return undefined;
    return this.#placers.lease(`${width}x${height}`, () => {
      const { mapSide } = this.#geometry;
      const map = placeMap(input('gridMap', [1, 1, mapSide, mapSide]), this.#placeAttrs(width, height, view));
      return engine.compile({ outputs: { map, score: view ? maximumInside(map) : maximum(map) } });
    });
  }

  #placeOnHost(map: Float32Array, width: number, height: number, view: RegionView | undefined): Float32Array {
    const placed = new Float32Array(width * height);
    placeOnHost(map, this.#geometry.mapSide, this.#placeAttrs(width, height, view), placed);
    return placed;
  }

  #placeAttrs(width: number, height: number, view: RegionView | undefined): PlaceAttrs {
    const { mapSide, region, ...place } = this.#geometry;
    return { width, height, ...place, region: view?.toUnit };
  }

  /** Before the first {@link #view}. */
  async #loadRegions(): Promise<void> {
    if (this.#geometry.region) this.#regions ??= await import('../imaging/region.ts');
  }

  /** The region in an image of that size. @throws UserError for one of another shape than the region was given in */
  #viewOf({ width, height }: Pick<RgbImage, 'width' | 'height'>): RegionView | undefined {
    const { region } = this.#geometry;
    if (region) this.#regions!.checkShape(region, width, height);
    return this.#view(width, height);
  }

  /** The region on a map of that size, of any shape. */
  #view(width: number, height: number): RegionView | undefined {
    const { region } = this.#geometry;
    return region && this.#regions!.regionView(region, width, height);
  }

  #partOf(view: RegionView | undefined): PartOf | undefined {
    return view && ((image, columns) => this.#regions!.upright(image, view, columns));
  }

  #resizable(width: number, height: number, view: RegionView | undefined): boolean {
    const { side } = this.#geometry;
    return [{ width, height }, ...(view ? [view] : [])].every((size) =>
      resizable(this.#engine, size.width, size.height, side),
    );
  }
}

/** Waits for all, and gives all back where one fails. */
async function leaseAll<V>(wanted: readonly (Promise<Lease<V>> | undefined)[]): Promise<(Lease<V> | undefined)[]> {
  const settled = await Promise.allSettled(wanted);
  const failed = settled.find((each) => each.status === 'rejected');
  if (!failed) return settled.map((each) => (each as PromiseFulfilledResult<Lease<V> | undefined>).value);
  for (const each of settled) if (each.status === 'fulfilled') each.value?.release();
  throw failed.reason;
}

import type { Caps } from './caps.ts';
import type { Parameter } from './graph.ts';
import type { Target } from './lower.ts';
import type { PipelineCache, RequestOptions } from './pipelines.ts';

/** What a plan runs on. @see Engine */
export interface Host {
  readonly device: GPUDevice;
  readonly caps: Caps;
  /** @throws DeviceLostError, DestroyedError */
  assertUsable(): void;
  /** What a failure of the device really is: a DeviceLostError where it is lost, else the failure itself. */
  failure(error: unknown): Promise<unknown>;
  /** Submits commands, recorded at once. @throws DeviceError, OutOfMemoryError as the promise's rejection */
  submit(what: string, ...parts: readonly ((encoder: GPUCommandEncoder) => void)[]): Promise<void>;
  /** Maps a buffer for reading. @throws DeviceLostError */
  map(staging: GPUBuffer): Promise<void>;
}

/** What owns parameters and pipelines, which plans share. @see Engine */
export interface Owner extends Host, Target {
  readonly pipelines: PipelineCache;
  readonly requestOptions: RequestOptions;
  /** Bytes of memory that a plan may need at most. */
  readonly memoryBytes: number;
  /** Whether the parameter has a buffer already. */
  hasParameter(parameter: Parameter): boolean;
  /** The parameter's buffer, made and filled on first use. */
  parameterBuffer(parameter: Parameter): GPUBuffer;
  /** Frees the buffers of parameters. */
  release(parameters: Iterable<Parameter>): void;
}

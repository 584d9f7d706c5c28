import { UserError } from '../errors.ts';

/** An op was given inputs of the wrong shape, type or attribute. The message names the op and all shapes. */
export class ShapeError extends UserError {
  override readonly name: string = 'ShapeError';
}

/** A shader was rejected by the compiler. The message holds the compiler's words and the WGSL line. */
export class ShaderError extends Error {
  override readonly name: string = 'ShaderError';
}

/** The GPU device was lost. Make a new device and engine, and compile again. */
export class DeviceLostError extends Error {
  override readonly name: string = 'DeviceLostError';
  /** `destroyed` by its owner's `device.destroy()`; else by a driver's reset or an adapter that was removed. */
  readonly reason: GPUDeviceLostReason;

  constructor(message: string, reason: GPUDeviceLostReason = 'unknown') {
    super(message);
    this.reason = reason;
  }
}

/** Something was used after its owner destroyed it. */
export class DestroyedError extends Error {
  override readonly name: string = 'DestroyedError';
}

/** The device refused what a plan asked of it: a fault of a kernel, of the engine or of the driver. */
export class DeviceError extends Error {
  override readonly name: string = 'DeviceError';
}

/** The device could not allocate a buffer, or a plan needs more memory than it may take. */
export class OutOfMemoryError extends UserError {
  override readonly name: string = 'OutOfMemoryError';
}

/** The adapter lacks what was asked for. */
export class UnsupportedError extends UserError {
  override readonly name = 'UnsupportedError';
}

/** Whether a device refuses one kernel or plan, where another may do. */
export function isRefusal(error: unknown): error is ShapeError | ShaderError | OutOfMemoryError | DeviceError {
  return [ShapeError, ShaderError, OutOfMemoryError, DeviceError].some((kind) => error instanceof kind);
}

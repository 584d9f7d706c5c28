import { UserError } from '../errors.ts';
import { type Caps, rememberMatrixConfigs, SUBGROUP_MATRIX } from './caps.ts';

/** Optional features that kernels make use of, where an adapter offers them. */
const FEATURES: readonly GPUFeatureName[] = [
  'subgroups',
  'shader-f16',
  'timestamp-query',
  SUBGROUP_MATRIX as GPUFeatureName,
];

/** Limits taken as high as the adapter has them, since networks are sized by their user. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const;

/**
 * An application's own request for a device, with every feature and limit of the adapter that kernels can use. What it asks for
 * itself stays.
 */
export function withRequirements(adapter: GPUAdapter, descriptor: GPUDeviceDescriptor = {}): GPUDeviceDescriptor {
  const features = FEATURES.filter((feature) => adapter.features.has(feature));
  const limits = Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]]));
  return {
    ...descriptor,
    requiredFeatures: [...new Set([...(descriptor.requiredFeatures ?? []), ...features])],
    requiredLimits: { ...descriptor.requiredLimits, ...limits },
  };
}

/** A device with every feature and limit of the adapter that kernels can use. */
export async function requestDevice(adapter: GPUAdapter, descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> {
  const device = await adapter.requestDevice(withRequirements(adapter, { label: 'raad', ...descriptor }));
  rememberMatrixConfigs(device, adapter.info);
  return device;
}

/** What every kernel may count on: the limits that WebGPU core guarantees. */
const NEEDED = {
  maxStorageBufferBindingSize: 2 ** 27,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
} as const;

/** @throws UserError naming the limit that is too low */
export function assertLimits({ limits, description }: Caps): void {
  for (const [name, needed] of Object.entries(NEEDED)) {
    const has = limits[name as keyof typeof NEEDED];
    if (has < needed) {
      throw new UserError(
        `the adapter ${description || '(unnamed)'} has ${name} ${has}, the kernels need ${needed}.`,
        'Use an adapter and device with at least the default limits of WebGPU core.',
      );
    }
  }
}

/** Capabilities with some of them taken away, to force fallbacks. */
export function maskCaps(caps: Caps, mask: Partial<Omit<Caps, 'limits'>> & { limits?: Partial<Caps['limits']> }): Caps {
  return { ...caps, ...mask, limits: { ...caps.limits, ...mask.limits } };
}

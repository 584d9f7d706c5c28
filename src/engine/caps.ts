/** Hardware, or which software renderer. */
export type AdapterKind = 'gpu' | 'lavapipe' | 'swiftshader' | 'cpu';

/** The kind of an adapter by its names. */
export function adapterKind(names: string): AdapterKind {
  if (/swiftshader/i.test(names)) return 'swiftshader';
  if (/llvmpipe|lavapipe/i.test(names)) return 'lavapipe';
  return /basic render|\bwarp\b/i.test(names) ? 'cpu' : 'gpu';
}

/** What a device can do, detected once. Tests mask it to force fallbacks. */
export interface Caps {
  readonly kind: AdapterKind;
  /** The adapter is software on the CPU: it rewards other kernels than a GPU. */
  readonly isCpu: boolean;
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly subgroups: boolean;
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly f16: boolean;
  readonly timestampQuery: boolean;
  /** `dot4I8Packed` and its kin. */
  readonly packedDot: boolean;
  readonly limits: {
    readonly maxBufferSize: number;
    readonly maxStorageBufferBindingSize: number;
    readonly maxStorageBuffersPerShaderStage: number;
    readonly maxComputeWorkgroupStorageSize: number;
    readonly maxComputeInvocationsPerWorkgroup: number;
    readonly maxComputeWorkgroupsPerDimension: number;
  };
}

export function detectCaps(device: GPUDevice): Caps {
  const info = device.adapterInfo;
  const kind = adapterKind(`${info.vendor} ${info.architecture} ${info.device} ${info.description}`);
  const { limits } = device;
  return {
    kind,
    isCpu: kind !== 'gpu',
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    subgroups: device.features.has('subgroups'),
    subgroupMinSize: info.subgroupMinSize ?? 4,
    subgroupMaxSize: info.subgroupMaxSize ?? 128,
    f16: device.features.has('shader-f16'),
    timestampQuery: device.features.has('timestamp-query'),
    packedDot: false,
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    },
  };
}

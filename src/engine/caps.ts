/** What a device can do, detected once. Tests mask it to force fallbacks. */
export interface Caps {
  readonly kind: 'gpu' | 'lavapipe' | 'swiftshader' | 'cpu';
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
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  const kind = /swiftshader/i.test(text) ? 'swiftshader' : /llvmpipe|lavapipe/i.test(text) ? 'lavapipe' : 'gpu';
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

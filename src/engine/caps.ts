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
  readonly device: string;
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

const known = new WeakMap<GPUDevice, ReadonlySet<string>>();

/** Notes the WGSL features of the `GPU` object that a device came from, which the device itself does not tell. */
export function rememberLanguageFeatures(device: GPUDevice, features: ReadonlySet<string>): void {
  known.set(device, features);
}

/** Those that were noted, or in a browser those of `navigator.gpu`. */
function languageFeatures(device: GPUDevice): ReadonlySet<string> {
  return known.get(device) ?? globalThis.navigator?.gpu?.wgslLanguageFeatures ?? new Set();
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
    device: info.device,
    description: info.description,
    subgroups: device.features.has('subgroups'),
    subgroupMinSize: info.subgroupMinSize ?? 4,
    subgroupMaxSize: info.subgroupMaxSize ?? 128,
    f16: device.features.has('shader-f16'),
    timestampQuery: device.features.has('timestamp-query'),
    packedDot: languageFeatures(device).has('packed_4x8_integer_dot_product'),
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

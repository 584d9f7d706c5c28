/** Products of small matrices by a subgroup; not in WebGPU yet. */
export const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix';

/** Hardware, or which software renderer. */
export type AdapterKind = 'gpu' | 'lavapipe' | 'swiftshader' | 'cpu';

/** The kind of an adapter by its names. */
export function adapterKind(names: string): AdapterKind {
  if (/swiftshader/i.test(names)) return 'swiftshader';
  if (/llvmpipe|lavapipe/i.test(names)) return 'lavapipe';
  return /basic render|\bwarp\b/i.test(names) ? 'cpu' : 'gpu';
}

/** A shape of matrices that a subgroup multiplies together: M x K with K x N. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** What a device can do, detected once. Tests mask it to force fallbacks. */
export interface Caps {
  readonly kind: AdapterKind;
  /** The adapter is software on the CPU: it rewards other kernels than a GPU. */
  readonly isCpu: boolean;
  readonly vendor: string;
  readonly architecture: string;
  /** Name of the device; browsers leave it empty. */
  readonly device: string;
  /** Of the driver in Dawn, of the device or nothing in browsers. */
  readonly description: string;
  readonly subgroups: boolean;
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly f16: boolean;
  readonly timestampQuery: boolean;
  /** `dot4I8Packed` and its kin. */
  readonly packedDot: boolean;
  /** Empty without the feature `chromium-experimental-subgroup-matrix`. */
  readonly subgroupMatrixConfigs: readonly SubgroupMatrixConfig[];
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

const adapterConfigs = new WeakMap<GPUDevice, readonly SubgroupMatrixConfig[]>();

/** Notes the matrices of the adapter that a device came from: Dawn leaves them out of the device's own `adapterInfo`. */
export function rememberMatrixConfigs(device: GPUDevice, info: GPUAdapterInfo): void {
  adapterConfigs.set(device, configsOf(info));
}

/** Where there is no `navigator.gpu`, a device is of Dawn's binding for Node, which has had these from its first version on. */
const DAWN_FEATURES: ReadonlySet<string> = new Set(['packed_4x8_integer_dot_product']);

/** Those that were noted, or in a browser those of `navigator.gpu`. */
function languageFeatures(device: GPUDevice): ReadonlySet<string> {
  return known.get(device) ?? globalThis.navigator?.gpu?.wgslLanguageFeatures ?? DAWN_FEATURES;
}

/** What adapters tell that not every implementation has. */
interface MoreInfo {
  readonly isFallbackAdapter?: boolean;
  readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
}

/** A browser that hides the names of adapters still says which of them are software. */
function kindOf(info: GPUAdapterInfo): AdapterKind {
  const named = adapterKind(`${info.vendor} ${info.architecture} ${info.device} ${info.description}`);
  const isSoftware = (info as MoreInfo).isFallbackAdapter === true || info.architecture === 'software';
  return named === 'gpu' && isSoftware ? 'cpu' : named;
}

function matrixConfigs(device: GPUDevice): readonly SubgroupMatrixConfig[] {
  if (!device.features.has(SUBGROUP_MATRIX)) return [];
  const own = configsOf(device.adapterInfo);
  return own.length > 0 ? own : (adapterConfigs.get(device) ?? []);
}

/** Their members are getters of a prototype, which no spreading copies. */
function configsOf(info: GPUAdapterInfo | undefined): SubgroupMatrixConfig[] {
  const found = (info as MoreInfo | undefined)?.subgroupMatrixConfigs ?? [];
  return [...found].map(({ componentType, resultComponentType, M, N, K }) => {
    return { componentType, resultComponentType, M, N, K };
  });
}

export function detectCaps(device: GPUDevice): Caps {
  const info = device.adapterInfo;
  const kind = kindOf(info);
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
    subgroupMatrixConfigs: matrixConfigs(device),
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

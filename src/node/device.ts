import { totalmem } from 'node:os';
import { create, globals } from 'webgpu';
import { requestDevice } from '../engine/adapter.ts';
import { type AdapterKind, adapterKind, detectCaps, rememberLanguageFeatures } from '../engine/caps.ts';
import { UserError } from '../errors.ts';
import { paceDevicePolls } from './pacing.ts';
import { dawnOptions, type Toggles } from './toggles.ts';
import { addDriver, loadVulkan, swiftShaderFolder, withoutChatter } from './vulkan.ts';

/** An adapter as Dawn lists it. */
export interface AdapterEntry {
  /** `vulkan`, `d3d12`, `metal`, ... */
  readonly backend: string;
  readonly name: string;
  readonly kind: AdapterKind;
}

/** Best first: hardware, then the faster of the software drivers. */
const ORDER: readonly AdapterKind[] = ['gpu', 'lavapipe', 'swiftshader', 'cpu'];

/** Not a name that an adapter has: Dawn answers with the list of those it knows. */
const LIST_ALL = 'adapter=\u0001';

/** All adapters that can be used, best first. */
export async function listAdapters(): Promise<AdapterEntry[]> {
  const swiftShader = swiftShaderFolder();
  if (swiftShader) addDriver(swiftShader);
  let found = await enumerate();
  if (found.length === 0 && swiftShader) {
    loadVulkan(swiftShader);
    found = await enumerate();
  }
  return found.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
}

async function enumerate(): Promise<AdapterEntry[]> {
  try {
    await withoutChatter(() => create([LIST_ALL]).requestAdapter());
    return [];
  } catch (error) {
    const list = String((error as Error).message).matchAll(/backend: '([^']*)', name: '([^']*)'/g);
    return [...list]
      .map(([, backend, name]) => ({ backend: backend!, name: name!, kind: adapterKind(name!) }))
      .filter(({ backend }) => backend !== 'null' && !backend.startsWith('opengl'));
  }
}

/** Which adapter is opened, and how. */
export interface OpenDeviceOptions {
  /** `gpu`, `lavapipe`, `swiftshader`, or a part of the adapter's name. `RAAD_ADAPTER` by default, else the best there is. */
  readonly adapter?: string | undefined;
  /** Dawn's own toggles; none by default. @see parseToggles */
  readonly toggles?: Toggles | undefined;
}

/** A device that this program made, and the means to give it back. */
export interface OpenDevice {
  readonly device: GPUDevice;
  readonly adapter: AdapterEntry;
  /** Bytes of memory that plans may take: on CPU adapters the machine's, on GPUs unknown. @see EngineOptions.memoryBytes */
  readonly memoryBytes: number;
  /** Destroys the device and lets the process end. A device that is not closed is kept, whoever drops it. */
  close(): void;
}

/**
 * What a device works through. Dawn's binding does not keep its instance for a device, nor the device for its buffers: what
 * is collected in use ends the process. So all of it stays until the device is destroyed or lost, and the instance beyond
 * that until the device has been collected. A device that nobody destroys stays as long as the process.
 */
const inUse = new Set<readonly object[]>();
const outlived = new FinalizationRegistry<readonly object[]>(() => {});

function keepUntilLost(device: GPUDevice, ...through: readonly object[]): void {
  const kept = [device, ...through];
  inUse.add(kept);
  outlived.register(device, through);
  device.lost.then(() => inUse.delete(kept));
}

/**
 * Opens a device in Node through Dawn. Which adapter it is stands in the result; there is no fallback from an adapter that
 * was asked for.
 * @throws UserError when no adapter fits
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<OpenDevice> {
  const wanted = options.adapter ?? process.env['RAAD_ADAPTER'];
  const adapters = await listAdapters();
  const chosen = wanted ? adapters.find((entry) => matches(entry, wanted)) : adapters[0];
  if (!chosen) {
    const list = adapters.map(({ kind, name }) => `${name} (${kind})`).join(', ');
    throw new UserError(
      wanted ? `there is no WebGPU adapter '${wanted}'; found: ${list || 'none'}.` : 'no WebGPU adapter was found.',
      list ? 'Choose one of those.' : 'Install a Vulkan driver, or run `npm run setup`, which installs a software one.',
    );
  }
  // The constructors of WebGPU (GPUBufferUsage, ...) are globals in a browser; in Node they come with Dawn.
  Object.assign(globalThis, globals);
  const gpu = create([
    `backend=${chosen.backend}`,
    `adapter=${chosen.name}`,
    ...dawnOptions(options.toggles ?? { on: [], off: [] }),
  ]);
  const adapter = await withoutChatter(() => gpu.requestAdapter({ powerPreference: 'high-performance' }));
  if (!adapter)
    throw new UserError(`the adapter ${chosen.name} could not be opened.`, 'Choose another with --adapter.');
  const device = await withoutChatter(() => requestDevice(adapter));
  keepUntilLost(device, gpu, adapter);
  rememberLanguageFeatures(device, gpu.wgslLanguageFeatures);
  const { isCpu } = detectCaps(device);
  const endPacing = isCpu ? paceDevicePolls() : () => {};
  return {
    device,
    adapter: chosen,
    memoryBytes: isCpu ? Math.min(totalmem(), process.constrainedMemory?.() || totalmem()) : Number.POSITIVE_INFINITY,
    close() {
      endPacing();
      device.destroy();
    },
  };
}

function matches({ kind, name }: AdapterEntry, wanted: string): boolean {
  return wanted === kind || name.toLowerCase().includes(wanted.toLowerCase());
}

import { BUFFER_USAGE } from './flags.ts';
import type { Node, Parameter, TensorType } from './graph.ts';
import type { Owner } from './host.ts';
import type { Layout, Storage } from './layout.ts';
import { packUniforms } from './uniforms.ts';

/** The device memory of a layout. */
export class Allocation {
  /** Buffers that the layout alone uses. */
  readonly owned: GPUBuffer[] = [];
  readonly inputs = new Map<string, { readonly buffer: GPUBuffer; readonly type: TensorType }>();
  readonly parameters = new Set<Parameter>();
  readonly #bindings = new Map<Node, GPUBufferBinding>();
  readonly #uniforms = new Map<Node, GPUBufferBinding>();

  /**
   * Makes all buffers. Nothing is left of one that throws.
   * @param layout placed for the owner's device
   */
  constructor(owner: Pick<Owner, 'device' | 'parameterBuffer'>, layout: Layout) {
    try {
      this.#makeBuffers(owner, layout);
      this.#makeUniforms(owner.device, layout);
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  /** Where a value lies. */
  binding(node: Node): GPUBufferBinding {
    return this.#bindings.get(node)!;
  }

  /** What a dispatch binds, in order: its inputs, what it writes unless that is one of them, its scalar parameters. */
  resources(node: Node): GPUBufferBinding[] {
    const resources = node.inputs.map((used) => this.binding(used));
    const overwrites = node.op.updates !== undefined || node.op.continues?.(node) !== undefined;
    if (!overwrites) resources.push(this.binding(node));
    const uniforms = this.#uniforms.get(node);
    return uniforms ? [...resources, uniforms] : resources;
  }

  /** Parameters keep their memory. */
  destroy(): void {
    for (const buffer of this.owned) buffer.destroy();
  }

  #make(device: GPUDevice, bytes: number, usage: number, label: string): GPUBuffer {
    const buffer = device.createBuffer({ size: Math.ceil(bytes / 4) * 4, usage, label });
    this.owned.push(buffer);
    return buffer;
  }

  #makeBuffers(owner: Pick<Owner, 'device' | 'parameterBuffer'>, layout: Layout): void {
    const { device } = owner;
    const usage = BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST;
    const slabs = layout.slabBytes.map((bytes, i) => this.#make(device, bytes, usage, `slab ${i}`));
    const make = (storage: Storage, bytes: number): GPUBuffer => {
      if (storage.kind === 'slab') return slabs[storage.index]!;
      if (storage.kind === 'kept') return this.#make(device, bytes, usage, storage.label);
      if (storage.kind === 'parameter') {
        this.parameters.add(storage.parameter);
        return owner.parameterBuffer(storage.parameter);
      }
      const { name, type } = storage;
      const buffer = this.#make(device, bytes, usage, name);
      this.inputs.set(name, { buffer, type });
      return buffer;
    };
    const made = new Map<Storage, GPUBuffer>();
    for (const [node, { storage, offset, bytes }] of layout.places) {
      const buffer = made.get(storage) ?? make(storage, bytes);
      made.set(storage, buffer);
      this.#bindings.set(node, { buffer, offset, size: bytes });
    }
  }

  #makeUniforms(device: GPUDevice, { lowered: { kernels } }: Layout): void {
    const entries = [...kernels].map(([node, { kernel }]) => [node, kernel] as const);
    const { data, places } = packUniforms(entries, device.limits.minUniformBufferOffsetAlignment);
    if (places.size === 0) return;
    const usage = BUFFER_USAGE.UNIFORM | BUFFER_USAGE.COPY_DST;
    const buffer = this.#make(device, data.byteLength, usage, 'params');
    device.queue.writeBuffer(buffer, 0, data);
    for (const [node, place] of places) this.#uniforms.set(node, { buffer, ...place });
  }
}

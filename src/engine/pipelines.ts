import { ShaderError } from './errors.ts';
import { type Defines, expand } from './expand.ts';
import type { Kernel, Node } from './graph.ts';
import { snippets } from './snippets.ts';

/** How a dispatch uses each binding of `@group(0)`. */
export type BindingKind = 'read' | 'write' | 'uniform';

export interface CompiledKernel {
  readonly key: string;
  readonly code: string;
  readonly layout: GPUBindGroupLayout;
  readonly pipeline: GPUComputePipeline;
}

/** What identifies a pipeline: equal keys mean equal shader text, which is asserted. */
export interface PipelineRequest {
  readonly key: string;
  readonly code: string;
  readonly bindings: readonly BindingKind[];
}

/** @param replacements templates by file name, instead of the kernel's own */
export function pipelineRequest(
  node: Node,
  kernel: Kernel,
  replacements: ReadonlyMap<string, string> = new Map(),
): PipelineRequest {
  const updates = node.op.updates ?? [];
  const continued = node.op.continues?.(node);
  const bindings: BindingKind[] = node.inputs.map((_, i) =>
    updates.includes(i) || i === continued ? 'write' : 'read',
  );
  if (!node.op.updates && continued === undefined) bindings.push('write');
  const names = Object.keys(kernel.params ?? {});
  if (names.length > 0) bindings.push('uniform');
  const defines: Defines = kernel.defines ?? {};
  const values = Object.keys(defines)
    .sort()
    .map((name) => `${name}=${defines[name]}`);
  const key = [kernel.shader.name, ...values].join(' ');
  let params = '';
  if (names.length > 0) {
    const fields = names.map((name) => `  ${name}: ${kernel.params![name]!.type},`);
    const binding = bindings.length - 1;
    params = `struct Params {\n${fields.join('\n')}\n}\n@group(0) @binding(${binding}) var<uniform> params: Params;`;
  }
  let code: string;
  try {
    code = expand(replacements.get(kernel.shader.name) ?? kernel.shader.source, { defines, snippets, params });
  } catch (error) {
    throw new ShaderError(`shaders/${kernel.shader.name}: ${(error as Error).message}`);
  }
  return { key, code, bindings };
}

/** Compiles every pipeline once per device, asynchronously and in parallel. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #onShader: ((key: string, code: string) => void) | undefined;
  readonly #compiled = new Map<string, { code: string; result: Promise<CompiledKernel> }>();

  /** @param onShader called with the expanded WGSL of each pipeline before it is compiled */
  constructor(device: GPUDevice, onShader?: (key: string, code: string) => void) {
    this.#device = device;
    this.#onShader = onShader;
  }

  /** Whether a kernel of that file name has been compiled. */
  has(shader: string): boolean {
    return [...this.#compiled.keys()].some((key) => key.split(' ')[0] === shader);
  }

  /** @throws ShaderError with the compiler's message and the WGSL line */
  get(request: PipelineRequest): Promise<CompiledKernel> {
    const known = this.#compiled.get(request.key);
    if (known) {
      if (known.code !== request.code) {
        throw new ShaderError(
          `two different shader texts share the cache key '${request.key}'; add what differs to its defines.`,
        );
      }
      return known.result;
    }
    const result = this.#compile(request);
    // The caller awaits a copy of this promise; without a handler here an early failure of another pipeline would
    // leave this one as an unhandled rejection.
    result.catch(() => {});
    this.#compiled.set(request.key, { code: request.code, result });
    return result;
  }

  async #compile({ key, code, bindings }: PipelineRequest): Promise<CompiledKernel> {
    const device = this.#device;
    this.#onShader?.(key, code);
    const layout = device.createBindGroupLayout({
      label: key,
      entries: bindings.map((kind, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: kind === 'read' ? 'read-only-storage' : kind === 'write' ? 'storage' : 'uniform' },
      })),
    });
    // The scope swallows the device's own report: the error below says more.
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: key, code });
    const report = device.popErrorScope();
    const info = await module.getCompilationInfo();
    await report;
    const problem = info.messages.find((message) => message.type === 'error');
    if (problem) {
      const line = code.split('\n')[problem.lineNum - 1] ?? '';
      throw new ShaderError(`${key}: line ${problem.lineNum}: ${problem.message}\n    ${line.trim()}`);
    }
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: key,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      });
      return { key, code, layout, pipeline };
    } catch (error) {
      throw new ShaderError(`${key}: ${(error as Error).message}`);
    }
  }
}

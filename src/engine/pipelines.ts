import { ShaderError, ShapeError } from './errors.ts';
import { type Defines, expand } from './expand.ts';
import { COMPUTE_STAGE } from './flags.ts';
import type { Kernel, Node } from './graph.ts';
import { foldGrid, type Grid, gridDefines } from './grid.ts';
import { loadShader, type ShaderSource, shaderText } from './shaderText.ts';
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
  /** Workgroups to dispatch: the kernel's grid, folded where the device needs it. */
  readonly grid: Grid;
}

export interface RequestOptions {
  /** Templates by file name, instead of the kernel's own, and snippets by `snippets/NAME.wgsl`. */
  readonly replacements?: ReadonlyMap<string, string>;
  /** `maxComputeWorkgroupsPerDimension` */
  readonly mostWorkgroups: number;
}

/** Loads the shaders of kernels, and what they include: before {@link pipelineRequest}. */
export async function loadKernels(
  kernels: Iterable<Kernel>,
  { replacements }: Pick<RequestOptions, 'replacements'>,
): Promise<void> {
  const shaders = new Map(Array.from(kernels, ({ shader }) => [shader.name, shader.source]));
  const load = async (name: string, source: ShaderSource): Promise<void> => {
    const text = replacements?.get(name) ?? (await loadShader(source));
    const included = Array.from(text.matchAll(/^\s*#include (\w+)/gm), ([, snippet]) => snippet!);
    await Promise.all(
      included.map(async (snippet) => {
        const inner = snippets[snippet];
        if (inner) await load(snippetFile(snippet), inner);
      }),
    );
  };
  await Promise.all(Array.from(shaders, ([name, source]) => load(name, source)));
}

const snippetFile = (name: string) => `snippets/${name}.wgsl`;

/**
 * The shader of a kernel as text, and how it is dispatched.
 * @throws ShaderError for a malformed template
 * @throws ShapeError for a grid that the device does not take and that cannot be folded
 */
export function pipelineRequest(
  node: Node,
  kernel: Kernel,
  { replacements = new Map(), mostWorkgroups }: RequestOptions,
): PipelineRequest {
  const updates = node.op.updates ?? [];
  const continued = node.op.continues?.(node);
  const bindings: BindingKind[] = node.inputs.map((_, i) =>
    updates.includes(i) || i === continued ? 'write' : 'read',
  );
  if (!node.op.updates && continued === undefined) bindings.push('write');
  const names = Object.keys(kernel.params ?? {});
  if (names.length > 0) bindings.push('uniform');
  const template = replacements.get(kernel.shader.name) ?? shaderText(kernel.shader.source);
  const { grid, folded } = dispatchGrid(node, kernel, template, mostWorkgroups);
  const defines: Defines = { ...kernel.defines, ...gridDefines(grid, folded) };
  const values = Object.keys(defines)
    .filter((name) => name !== 'FOLDED')
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
    code = expand(template, {
      defines,
      snippet: (name) => replacements.get(snippetFile(name)) ?? (snippets[name] && shaderText(snippets[name])),
      params,
    });
  } catch (error) {
    throw new ShaderError(`shaders/${kernel.shader.name}: ${(error as Error).message}`);
  }
  return { key, code, bindings, grid: folded ?? grid };
}

/** The kernel's grid, and how it has to be folded for the device, if it has. */
function dispatchGrid(
  node: Node,
  kernel: Kernel,
  template: string,
  limit: number,
): { readonly grid: Grid; readonly folded?: Grid } {
  const [x, y = 1, z = 1] = kernel.grid;
  const grid: Grid = [x, y, z];
  if (Math.max(...grid) <= limit) return { grid };
  const folds = /^\s*#include workgroup\s*$/m.test(template);
  const folded = folds ? foldGrid(grid, limit) : undefined;
  if (folded) return { grid, folded };
  throw new ShapeError(
    `${node.label} (${kernel.shader.name}): its grid of ${grid.join(' x ')} workgroups exceeds the ${limit} per dimension of this device${folds ? '' : ', and the shader does not include the snippet workgroup, which folds it'}.`,
    'Use a smaller batch or resolution.',
  );
}

export function bindGroupLayout(
  device: GPUDevice,
  label: string,
  bindings: readonly BindingKind[],
): GPUBindGroupLayout {
  const types = { read: 'read-only-storage', write: 'storage', uniform: 'uniform' } as const;
  return device.createBindGroupLayout({
    label,
    entries: bindings.map((kind, binding) => ({
      binding,
      visibility: COMPUTE_STAGE,
      buffer: { type: types[kind] },
    })),
  });
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
    const layout = bindGroupLayout(device, key, bindings);
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
      throw new ShaderError(`${key}: ${(error as Error).message}`, { cause: error });
    }
  }
}

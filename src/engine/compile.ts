import { Allocation } from './bind.ts';
import { withModules } from './deferred.ts';
import type { Node } from './graph.ts';
import type { Owner } from './host.ts';
import { assertFits, type BufferLimits, type Layout, layOut } from './layout.ts';
import { type GraphOptions, lower } from './lower.ts';
import { type CompiledKernel, loadKernels, type PipelineRequest, pipelineRequest } from './pipelines.ts';
import { Plan, type Step } from './plan.ts';
import { scoped } from './scopes.ts';
import { Turns } from './turns.ts';

export interface CompileOptions extends GraphOptions {
  /** Called as pipelines finish compiling. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What a device says about buffers; as in `caps`, which may be masked, where that knows it. */
export function bufferLimits({ device, caps }: Pick<Owner, 'device' | 'caps'>): BufferLimits {
  const { maxStorageBufferBindingSize, maxBufferSize } = caps.limits;
  const { minStorageBufferOffsetAlignment } = device.limits;
  return { maxStorageBufferBindingSize, maxBufferSize, minStorageBufferOffsetAlignment };
}

/**
 * Compiles a graph for a device. One that fails leaves nothing on the device but pipelines.
 * @throws ShapeError, ShaderError, OutOfMemoryError, DeviceError, DeviceLostError
 */
export async function compile(owner: Owner, options: CompileOptions): Promise<Plan> {
  owner.assertUsable();
  const limits = bufferLimits(owner);
  const layout = layOut(await withModules(() => lower(options, owner)), limits);
  const { kernels } = layout.lowered;
  await loadKernels(
    [...kernels.values()].map(({ kernel }) => kernel),
    owner.requestOptions,
  );
  const requests = new Map<Node, PipelineRequest>();
  const turns = new Turns();
  for (const node of [...layout.prologue, ...layout.steps]) {
    await turns.take();
    requests.set(node, pipelineRequest(node, kernels.get(node)!.kernel, owner.requestOptions));
  }
  assertFits(layout, limits, owner.memoryBytes, (parameter) => owner.hasParameter(parameter));

  // Memory first: what the device refuses ends before anything is compiled.
  const what = `the plan of ${Object.keys(options.outputs).join(', ')}`;
  const allocation = await allocate(owner, layout, what);
  try {
    const compiled = await compileAll(owner, requests, options.onProgress);
    const toStep = (node: Node): Step => {
      const { pipeline, layout: bindings, key } = compiled.get(node)!;
      const group = owner.device.createBindGroup({
        label: node.label,
        layout: bindings,
        entries: allocation.resources(node).map((resource, binding) => ({ binding, resource })),
      });
      const { variant } = kernels.get(node)!;
      return { label: node.label, kernel: key, variant, grid: requests.get(node)!.grid, node, pipeline, group };
    };
    const { result: parts, accepted } = scoped(owner.device, what, () => ({
      prologue: layout.prologue.map(toStep),
      steps: layout.steps.map(toStep),
    }));
    await accepted;
    const shaders = new Map([...compiled.values()].map(({ key, code }) => [key, code]));
    const plan = new Plan(owner, { layout, allocation, ...parts, shaders });
    await plan.prepare();
    return plan;
  } catch (error) {
    allocation.destroy();
    throw await owner.failure(error);
  }
}

/** @throws OutOfMemoryError, DeviceError when the device refuses it; parameters that were new then have no memory, either */
async function allocate(owner: Owner, layout: Layout, what: string): Promise<Allocation> {
  const fresh = [...layout.places.values()].flatMap(({ storage }) => {
    return storage.kind === 'parameter' && !owner.hasParameter(storage.parameter) ? storage.parameter : [];
  });
  let allocation: Allocation | undefined;
  try {
    const { result, accepted } = scoped(owner.device, what, () => new Allocation(owner, layout));
    allocation = result;
    await accepted;
    return allocation;
  } catch (error) {
    allocation?.destroy();
    // Their buffers may be invalid.
    owner.release(fresh);
    throw await owner.failure(error);
  }
}

async function compileAll(
  { pipelines }: Owner,
  requests: ReadonlyMap<Node, PipelineRequest>,
  onProgress: CompileOptions['onProgress'],
): Promise<ReadonlyMap<Node, CompiledKernel>> {
  const compiled = new Map<Node, CompiledKernel>();
  const total = new Set([...requests.values()].map(({ key }) => key)).size;
  const finished = new Set<string>();
  await Promise.all(
    [...requests].map(async ([node, request]) => {
      compiled.set(node, await pipelines.get(request));
      if (finished.has(request.key)) return;
      finished.add(request.key);
      onProgress?.(finished.size, total);
    }),
  );
  return compiled;
}

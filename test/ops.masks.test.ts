import { describe, expect, it } from 'vitest';
import { compareResult, type PreparedCase } from '../src/doctor/check.ts';
import { pathName, rowPaths, type VariantPath } from '../src/doctor/paths.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import type { Caps } from '../src/engine/caps.ts';
import { Engine } from '../src/engine/engine.ts';
import { input, type Node, Parameter } from '../src/engine/graph.ts';
import { chooseVariant, lower, type VariantChoice } from '../src/engine/lower.ts';
import { type PipelineRequest, pipelineRequest } from '../src/engine/pipelines.ts';
import { Tuning } from '../src/engine/tuning.ts';
import { fusedAnomalyMaps, inferenceGraph } from '../src/networks/inference.ts';
import { Networks } from '../src/networks/networks.ts';
import { engine } from './support/gpu.ts';
import { isTested, plannedRows, testedRows } from './support/planned.ts';

const full = process.env['RAAD_TEST'] === 'full';
const gpu = await engine();
const tuning = new Tuning('none');
const rows = testedRows.filter(({ row }) => !row.perf);

/** The dispatches of a graph as they would be compiled. */
function requestsOf(y: Node, caps: Caps, variants?: VariantChoice): PipelineRequest[] {
  const { kernels } = lower({ outputs: { y }, tuning, variants }, { caps });
  const mostWorkgroups = caps.limits.maxComputeWorkgroupsPerDimension;
  return [...kernels].map(([node, { kernel }]) => pipelineRequest(node, kernel, { mostWorkgroups }));
}

/** Undefined where a grid is too large for the mask, which has to be said. */
function requestsOrRefusal(...given: Parameters<typeof requestsOf>): PipelineRequest[] | undefined {
  try {
    return requestsOf(...given);
  } catch (error) {
    expect((error as Error).message).toMatch(/ its grid of .* workgroups exceeds the \d+ per dimension of this device/);
    return undefined;
  }
}

const signature = (requests: readonly PipelineRequest[]) =>
  requests.map(({ key, grid }) => `${key} in ${grid.join('x')}`).join('; ');

const shaderWay = ({ key }: PipelineRequest) => `${key.split(' ')[0]} ${key.includes('FOLDED_X=')}`;

const { subgroupMinSize, subgroupMaxSize } = gpu.caps;
const asGpu = { kind: 'gpu', isCpu: false } as const;
const portable = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 };

/** Capabilities that this adapter can stand in for: what is chosen under them is executed. */
const EXECUTED: Readonly<Record<string, Caps>> = {
  [`all that it has, subgroups of ${subgroupMinSize} to ${subgroupMaxSize}`]: gpu.caps,
  'a GPU with the least that WebGPU guarantees': maskCaps(gpu.caps, {
    ...{ ...asGpu, subgroups: false, f16: false, packedDot: false, timestampQuery: false },
    limits: portable,
  }),
  'a GPU': maskCaps(gpu.caps, asGpu),
  'no subgroups': maskCaps(gpu.caps, { subgroups: false }),
  'no f16': maskCaps(gpu.caps, { f16: false }),
  'no packed dot': maskCaps(gpu.caps, { packedDot: false }),
  '16 KiB of workgroup memory': maskCaps(gpu.caps, { limits: portable }),
  '255 workgroups per dimension': maskCaps(gpu.caps, { limits: { maxComputeWorkgroupsPerDimension: 255 } }),
  '29 workgroups per dimension': maskCaps(gpu.caps, { limits: { maxComputeWorkgroupsPerDimension: 29 } }),
  '29 workgroups per dimension on a GPU': maskCaps(gpu.caps, {
    ...asGpu,
    limits: { maxComputeWorkgroupsPerDimension: 29 },
  }),
};

describe('the table under masked capabilities, executed', () => {
  // Kernels in the same grid are the same run: those of ops.test.ts are not run again.
  const seen = new Set(
    plannedRows({ caps: gpu.caps }).flatMap(({ prepared: { output }, paths }) =>
      paths.map(({ variants }) => signature(requestsOf(output, gpu.caps, variants))),
    ),
  );
  // By default every shader runs once in a folded grid and once in another one, those that are chosen first; in the full run all.
  const shaders = new Set<string>();
  for (const [name, caps] of Object.entries(EXECUTED)) {
    it(name, { timeout: 600_000 }, async () => {
      const masked = new Engine({ device: gpu.device, caps, tuning });
      let [cases, run, refused, worst] = [0, 0, 0, 0];
      // The grid of activationRange is 64 workgroups at most, for any device.
      const fitting = rows.filter(
        ({ output }) => caps.limits.maxComputeWorkgroupsPerDimension >= 64 || output.op.name !== 'activationRange',
      );
      const chosen: VariantPath = { steps: ['what is chosen'], variants: {}, precision: 'f32', rounding: 0 };
      const forced = (prepared: PreparedCase) => rowPaths(prepared, masked, isTested);
      for (const { prepared, path } of [
        ...fitting.map((prepared) => ({ prepared, path: chosen })),
        ...fitting.flatMap((prepared) => forced(prepared).map((path) => ({ prepared, path }))),
      ]) {
        cases++;
        const requests = requestsOrRefusal(prepared.output, caps, path.variants);
        if (!requests) {
          refused++;
          continue;
        }
        const key = signature(requests);
        const ways = requests.map(shaderWay);
        if (seen.has(key) || (!full && ways.every((way) => shaders.has(way)))) continue;
        seen.add(key);
        for (const way of ways) shaders.add(way);
        run++;
        const plan = await masked.compile({ outputs: { y: prepared.output }, variants: path.variants });
        for (const { grid } of plan.dispatches) {
          expect(Math.max(...grid)).toBeLessThanOrEqual(caps.limits.maxComputeWorkgroupsPerDimension);
        }
        const { y } = await plan.run(prepared.data(), ['y']);
        plan.destroy();
        const { isRight, message, error, limit } = compareResult(prepared, y!);
        if (!isRight) expect.fail(`${pathName(path)} on '${prepared.row.name}': ${message}`);
        if (limit > 0) worst = Math.max(worst, error / limit);
      }
      masked.destroy();
      // What exceeds the square of the limit, which no real device's grid does.
      expect(refused).toBeLessThan(0.1 * cases);
      console.log(
        `${name}: ${cases} cases, ${run} of them run here, ${refused} refused, worst ${(100 * worst).toFixed(0)} % of the limit`,
      );
      expect(cases).toBeGreaterThan(200);
    });
  }
});

/** Capabilities that it cannot stand in for: what is chosen is compiled as far as a shader module, and not executed. */
const lanesOf = (count: number) => ({ ...asGpu, subgroups: true, subgroupMinSize: count, subgroupMaxSize: count });
const COMPILED: Readonly<Record<string, Caps>> = {
  'subgroups of 32, 48 KiB of workgroup memory': maskCaps(gpu.caps, {
    ...lanesOf(32),
    limits: { maxComputeWorkgroupStorageSize: 49152 },
  }),
  'subgroups of 64': maskCaps(gpu.caps, lanesOf(64)),
  'subgroups of 16': maskCaps(gpu.caps, { ...lanesOf(16), kind: 'cpu', isCpu: true }),
};

describe('the table under capabilities that this adapter lacks: shader modules, not executed', () => {
  for (const [name, caps] of Object.entries(COMPILED)) {
    it(name, { timeout: 600_000 }, async () => {
      const modules = new Map<string, string>();
      for (const { output } of rows) {
        for (const { key, code } of requestsOf(output, caps)) modules.set(key, code);
        const { name: variant } = chooseVariant(output, { caps, tuning });
        if (!caps.isCpu && output.op.name.includes('conv'))
          expect(variant, output.label).not.toMatch(/^(rows|lanes|taps)/);
      }
      for (const [key, code] of modules) {
        gpu.device.pushErrorScope('validation');
        const module = gpu.device.createShaderModule({ label: key, code });
        const problem = await gpu.device.popErrorScope();
        const { messages } = await module.getCompilationInfo();
        expect(problem?.message ?? messages.find(({ type }) => type === 'error')?.message, key).toBeUndefined();
      }
      console.log(`${name}: ${modules.size} shader modules, not executed`);
    });
  }
});

describe('grids over the limit', () => {
  it('of XS at 256 px x 128 images on a GPU are folded', () => {
    const bindable = 2 ** 32 - 4;
    const caps = maskCaps(gpu.caps, {
      ...asGpu,
      limits: {
        maxStorageBufferBindingSize: bindable,
        maxBufferSize: bindable,
        maxComputeWorkgroupsPerDimension: 65535,
      },
    });
    const networks = new Networks('xs', 256);
    const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }).node;
    const { combined } = inferenceGraph(networks, quantiles, 128, { maps: fusedAnomalyMaps, bindable });
    const requests = requestsOf(combined, caps);
    const folded = requests.filter(({ key }) => key.includes('FOLDED_X='));
    expect(folded.length).toBeGreaterThan(0);
    for (const { grid } of requests) expect(Math.max(...grid)).toBeLessThanOrEqual(65535);
    console.log(`${folded.length} of ${requests.length} grids are folded`);
  });

  it('are refused with a sentence where a kernel does not fold them', () => {
    const op = {
      name: 'plain',
      infer: () => ({ shape: [8], dtype: 'f32' }) as const,
      reference: () => new Float64Array(8),
      variants: [],
    };
    const node: Node = { op, attrs: {}, inputs: [input('x', [8])], type: op.infer(), label: 'mine' };
    const kernel = { shader: { name: 'mine.wgsl', source: '@compute fn main() {}' }, grid: [4, 300] } as const;
    expect(() => pipelineRequest(node, kernel, { mostWorkgroups: 255 })).toThrow(
      'mine (mine.wgsl): its grid of 4 x 300 x 1 workgroups exceeds the 255 per dimension of this device, and the shader does not include the snippet workgroup',
    );
  });
});

import { Allocation } from '../engine/bind.ts';
import { bufferLimits } from '../engine/compile.ts';
import { withModules } from '../engine/deferred.ts';
import type { Engine } from '../engine/engine.ts';
import { ShapeError } from '../engine/errors.ts';
import { BUFFER_USAGE } from '../engine/flags.ts';
import type { Kernel, Node } from '../engine/graph.ts';
import { layOut } from '../engine/layout.ts';
import { lower, type VariantChoice } from '../engine/lower.ts';
import { bindGroupLayout, loadKernels, pipelineRequest } from '../engine/pipelines.ts';
import type { Precision } from '../engine/variants.ts';

/** What one dispatch executed, over all its invocations. Vectors count with all their elements. */
export interface OperationCounts {
  readonly label: string;
  readonly node: Node;
  readonly kernel: Kernel;
  readonly shader: string;
  readonly workgroups: number;
  /** 32-bit values read from storage buffers, and written to them. */
  readonly loads: number;
  readonly stores: number;
  /** Multiply-adds into register accumulators. */
  readonly multiplyAdds: number;
  /** Products of four packed bytes into register accumulators. */
  readonly packedProducts: number;
  /** Multiply-adds in products of small matrices. */
  readonly matrixMultiplyAdds: number;
  /** 32-bit values read from workgroup memory, and written to it. */
  readonly workgroupReads: number;
  readonly workgroupWrites: number;
}

const COUNTERS = 'counts_';
/** What is counted, in the order of the buffer. */
export const COUNTED = [
  'loads',
  'stores',
  'multiplyAdds',
  'packedProducts',
  'matrixMultiplyAdds',
  'workgroupReads',
  'workgroupWrites',
] as const;
const COUNTER_BYTES = 4 * COUNTED.length;

const STORAGE = { reads: 'loads', writes: 'stores' } as const;
const WORKGROUP = { reads: 'workgroupReads', writes: 'workgroupWrites' } as const;

/** 32-bit values of a WGSL type. */
function widthOf(type: string): number {
  return Number(/^vec(\d)/.exec(type)?.[1] ?? 1);
}

/** End of the bracket that opens at `from`. */
function closing(text: string, from: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    if (text[i] === '[' || text[i] === '(') depth++;
    else if ((text[i] === ']' || text[i] === ')') && --depth === 0) return i;
  }
  throw new ShapeError('count: a bracket of the shader is not closed.');
}

/** Replaces reads `name[i]` by calls that count; stores stay. */
function countReads(text: string, name: string): string {
  let out = '';
  let at = 0;
  const pattern = new RegExp(`(?<![\\w.])${name}\\[`, 'g');
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const open = match.index + name.length;
    const end = closing(text, open);
    const index = countReads(text.slice(open + 1, end), name);
    out += `${text.slice(at, match.index)}${COUNTERS}read_${name}(${index})`;
    at = end + 1;
    pattern.lastIndex = at;
  }
  return out + text.slice(at);
}

/** What calls with matrices do, by their lines: values read or written of an array, or multiply-adds. */
type MatrixShare = readonly [RegExp, { readonly of: 'reads' | 'writes' | 'sums'; readonly values: number }];

/** An invocation's share of each. The types of matrices have names; they hold bytes or halves, sums 32-bit values. */
function matrixShares(code: string, lanes: number): MatrixShare[] {
  const types = [...code.matchAll(/alias (\w+) = subgroup_matrix_(\w+)<[if](\d+), (\d+), (\d+)>;/g)].map(
    ([, name, kind, bits, columns, rows]) => {
      return { name: name!, kind: kind!, bits: Number(bits), columns: Number(columns), rows: Number(rows) };
    },
  );
  const left = types.find(({ kind }) => kind === 'left');
  const result = types.find(({ kind }) => kind === 'result');
  if (!left || !result) return [];
  const loads = types.map(({ name, bits, columns, rows }): MatrixShare => {
    const pattern = new RegExp(`subgroupMatrixLoad<${name}, \\w+>\\(&(\\w+),`);
    return [pattern, { of: 'reads', values: (columns * rows * bits) / 32 / lanes }];
  });
  const sums = (result.columns * result.rows) / lanes;
  return [
    ...loads,
    [/subgroupMatrixStore<\w+>\(&(\w+),/, { of: 'writes', values: sums }],
    [/(\w+) = subgroupMatrixMultiplyAccumulate\(/, { of: 'sums', values: sums * left.columns }],
  ];
}

/**
 * An instrumented shader: every read and write of a storage or workgroup array and every `acc... +=` adds to a counter of the
 * invocation, and those are summed up in a buffer. The arithmetic stays what it was.
 * @param lanes that share what a subgroup does together with matrices
 */
export function instrument(code: string, binding: number, lanes = 1): string {
  const storage = [...code.matchAll(/var<storage, (read|read_write)> (\w+): array<(\w+)>/g)].map(
    ([, access, name, type]) => ({ name: name!, type: type!, written: access === 'read_write', of: STORAGE }),
  );
  const workgroup = [...code.matchAll(/var<workgroup> (\w+): array<(\w+), /g)].map(([, name, type]) => ({
    name: name!,
    type: type!,
    written: true,
    of: WORKGROUP,
  }));
  const arrays = [...storage, ...workgroup];
  const wide = new Set([...code.matchAll(/var (acc\w*) = vec4f\(\);/g)].map(([, name]) => name!));
  const matrices = matrixShares(code, lanes);
  const lines = code.split('\n');
  const start = lines.findIndex((line) => /^fn main\b/.test(line));
  const end = lines.indexOf('}', start);
  const flush = COUNTED.map((name, i) => `atomicAdd(&${COUNTERS}[${i}], ${COUNTERS}${name});`).join(' ');
  const body = lines.map((line, i) => {
    if (line.startsWith('@group') || (i < start && !line.startsWith('  '))) return line;
    const store = arrays.find(({ written, name }) => written && new RegExp(`^\\s*${name}\\[`).test(line));
    let text = line;
    if (store) {
      const open = line.indexOf('[');
      const close = closing(line, open);
      let rest = line.slice(close + 1);
      for (const { name } of arrays) rest = countReads(rest, name);
      text = `${COUNTERS}${store.of.writes} += ${widthOf(store.type)}u; ${line.slice(0, close + 1)}${rest}`;
    } else for (const { name } of arrays) text = countReads(text, name);
    const [, sum, term] = /^\s*(acc\w*) \+= (.*)/.exec(line) ?? [];
    if (term?.startsWith('dot4(')) text = `${COUNTERS}packedProducts += 1u; ${text}`;
    else if (term?.startsWith('dot(')) text = `${COUNTERS}multiplyAdds += 4u; ${text}`;
    else if (term?.includes('*')) text = `${COUNTERS}multiplyAdds += ${wide.has(sum!) ? 4 : 1}u; ${text}`;
    for (const [pattern, share] of matrices) {
      const [, array] = pattern.exec(line) ?? [];
      if (array === undefined) continue;
      const of = arrays.find(({ name }) => name === array)?.of;
      text = `${COUNTERS}${share.of === 'sums' ? 'matrixMultiplyAdds' : of![share.of]} += ${share.values}u; ${text}`;
    }
    if (i > start && i < end) text = text.replace(/\breturn;/, `${flush} return;`);
    return i === end ? `${flush}\n}` : text;
  });
  const head = [
    `@group(0) @binding(${binding}) var<storage, read_write> ${COUNTERS}: array<atomic<u32>, ${COUNTED.length}>;`,
    ...COUNTED.map((name) => `var<private> ${COUNTERS}${name}: u32;`),
    ...arrays.map(
      ({ name, type, of }) =>
        `fn ${COUNTERS}read_${name}(i: u32) -> ${type} { ${COUNTERS}${of.reads} += ${widthOf(type)}u; return ${name}[i]; }`,
    ),
  ];
  // Directives such as `enable` have to come first.
  const at = body.findIndex((line) => /^(@group|struct|fn|var|@compute)/.test(line));
  return [...body.slice(0, at), ...head, ...body.slice(at)].join('\n');
}

/**
 * Runs a graph with instrumented kernels and counts what each dispatch really executes.
 * @param inputs nothing: inputs hold zeros, and no kernel branches on values
 * @throws ShapeError for kernels whose counters would overflow 32 bits
 */
export async function countOperations(
  engine: Engine,
  root: Node,
  variants?: VariantChoice,
  precision?: Precision,
): Promise<OperationCounts[]> {
  const { caps } = engine;
  const graph = { outputs: { root }, variants, precision };
  const lowered = await withModules(() => lower(graph, { caps, variants: engine.variants }));
  const layout = layOut(lowered, bufferLimits(engine));
  const allocation = new Allocation(engine, layout);
  try {
    const results: OperationCounts[] = [];
    for (const node of [...layout.prologue, ...layout.steps]) {
      const { kernel } = layout.lowered.kernels.get(node)!;
      const { counted, workgroups } = await countDispatch(engine, node, kernel, allocation.resources(node));
      results.push({ label: node.label, node, kernel, shader: kernel.shader.name, workgroups, ...counted });
    }
    return results;
  } finally {
    allocation.destroy();
    engine.release(allocation.parameters);
  }
}

type Counted = Record<(typeof COUNTED)[number], number>;

/** Runs one dispatch with counters behind its own bindings. */
async function countDispatch(
  engine: Engine,
  node: Node,
  kernel: Kernel,
  resources: readonly GPUBufferBinding[],
): Promise<{ counted: Counted; workgroups: number }> {
  const { device, caps } = engine;
  await loadKernels([kernel], engine.requestOptions);
  const { code, bindings, grid } = pipelineRequest(node, kernel, engine.requestOptions);
  const make = (usage: number) => device.createBuffer({ size: COUNTER_BYTES, usage });
  const counters = make(BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC);
  const staging = make(BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST);
  try {
    const layout = bindGroupLayout(device, node.label, [...bindings, 'write']);
    const module = device.createShaderModule({ code: instrument(code, bindings.length, caps.subgroupMaxSize) });
    const pipeline = await device.createComputePipelineAsync({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module },
    });
    const entries = [...resources, { buffer: counters }].map((resource, binding) => ({ binding, resource }));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...grid);
    pass.end();
    encoder.copyBufferToBuffer(counters, 0, staging, 0, COUNTER_BYTES);
    device.queue.submit([encoder.finish()]);
    await engine.map(staging);
    const values = new Uint32Array(staging.getMappedRange().slice(0));
    const counted = Object.fromEntries(COUNTED.map((name, i) => [name, values[i]!])) as Counted;
    return { counted, workgroups: grid[0] * grid[1] * grid[2] };
  } finally {
    counters.destroy();
    staging.destroy();
  }
}

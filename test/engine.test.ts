import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { randomValues, toHost } from '../src/doctor/values.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import { Engine } from '../src/engine/engine.ts';
import { DeviceError, DeviceLostError, OutOfMemoryError, ShaderError, ShapeError } from '../src/engine/errors.ts';
import { expand } from '../src/engine/expand.ts';
import { evaluateReference, input, makeNode, type Op, Parameter } from '../src/engine/graph.ts';
import { chooseVariant, lower } from '../src/engine/lower.ts';
import { type Lifetime, planMemory } from '../src/engine/memory.ts';
import { UserError } from '../src/errors.ts';
import { avgPool2d } from '../src/kernels/avgPool2d.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { add } from '../src/kernels/elementwise.ts';
import { mean } from '../src/kernels/sum.ts';
import { Random } from '../src/math/random.ts';
import { openDevice } from '../src/node/device.ts';
import { toBeAllclose } from './support/close.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();

describe('shader templates', () => {
  test('expand loops, conditions, values, snippets and parameters', () => {
    // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the template language's own placeholders
    const template = [
      '#include helper',
      '#params',
      '#for i in 0..N',
      'var acc${i} = ${i * STEP + 1}u;',
      '#if i == N - 1',
      '// last',
      '#else',
      '// more',
      '#end',
      '#end',
    ].join('\n');
    // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the template language's own placeholders
    const text = expand(template, {
      defines: { N: 2, STEP: 4 },
      snippet: (name) => (name === 'helper' ? `const n = $\{N}u;` : undefined),
      params: 'struct Params {}',
    });
    expect(text).toMatchInlineSnapshot(`
      "const n = 2u;
      struct Params {}
      var acc0 = 1u;
      // more
      var acc1 = 5u;
      // last"
    `);
  });

  test('loops over several indices turn the last one fastest, and inner bounds may use outer names', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the template language's own placeholders
    const template = '#for i in 0..N, j in i..N\n${i}${j}\n#end i, j';
    expect(expand(template, { defines: { N: 3 } }).split('\n')).toEqual(['00', '01', '02', '11', '12', '22']);
  });

  test('loops of the package say at their ends which they are', () => {
    const folder = fileURLToPath(new URL('../shaders/', import.meta.url));
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.wgsl')) continue;
      const directives = readFileSync(folder + file, 'utf8').match(/^\s*#(for|if|end)\b.*$/gm) ?? [];
      const open: string[] = [];
      for (const directive of directives.map((each) => each.trim())) {
        if (!directive.startsWith('#end')) open.push(directive);
        else expect(directive === '#end', `${file}: ${directive}`).toBe(open.pop()!.startsWith('#if'));
      }
    }
  });

  test.each([
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the template language's own placeholder
    ['a\n${MISSING}', 'line 2'],
    ['#for i in 0..2\nx', 'line 1'],
    ['#for i in 0..2, j\n#end', "instead of ' j'"],
    ['#for i in 0..2\nx\n#end j', "line 3: '#end j' closes '#for i in 0..2' of line 1"],
    ['#if 1\n#end i', "line 2: '#end i' closes '#if 1' of line 1"],
    ['#include nothing', "unknown snippet 'nothing'"],
    ['x\n#end', 'line 2'],
  ])('%j is refused with its place', (template, message) => {
    expect(() => expand(template, { defines: {} })).toThrow(message);
  });
});

describe('memory planner', () => {
  test('never overlaps two live tensors, nor reads and writes one slab in a dispatch', () => {
    const random = new Random(11);
    for (let round = 0; round < 30; round++) {
      const lifetimes: Lifetime[] = [];
      for (let i = 0; i < 60; i++) {
        const read = i === 0 ? [] : Array.from({ length: random.integer(3) }, () => random.integer(i));
        lifetimes.push({
          bytes: 4 + 4 * random.integer(500),
          from: i,
          to: i + random.integer(12),
          conflicts: read,
        });
      }
      // What a step reads has to be alive then.
      lifetimes.forEach(({ from, conflicts }) => {
        for (const k of conflicts) {
          lifetimes[k] = { ...lifetimes[k]!, to: Math.max(lifetimes[k]!.to, from) };
        }
      });
      const { placements, slabBytes } = planMemory(lifetimes, 256, 2 ** 30);
      for (const [i, a] of lifetimes.entries()) {
        const place = placements[i]!;
        expect(place.offset % 256).toBe(0);
        expect(place.offset + a.bytes).toBeLessThanOrEqual(slabBytes[place.slab]!);
        for (const k of a.conflicts) expect(placements[k]!.slab).not.toBe(place.slab);
        for (let j = 0; j < i; j++) {
          const other = placements[j]!;
          const together = lifetimes[j]!.to >= a.from && other.slab === place.slab;
          const apart = other.offset + lifetimes[j]!.bytes <= place.offset || place.offset + a.bytes <= other.offset;
          if (together) expect(apart).toBe(true);
        }
      }
    }
  });

  test('reuses bytes of what is over', () => {
    const chain = Array.from({ length: 10 }, (_, i) => ({
      bytes: 1024,
      from: i,
      to: i + 1,
      conflicts: i === 0 ? [] : [i - 1],
    }));
    expect(planMemory(chain, 256, 2 ** 30).slabBytes).toEqual([1024, 1024]);
  });
});

describe('masked capabilities', () => {
  const x = input('x', [2, 5, 21, 19]);
  const w = input('w', [12, 5, 4, 4]);
  const b = input('b', [12]);
  const network = avgPool2d(conv2d(x, w, b, { padding: 1, relu: true }));
  const values = new Map([x, w, b].map((node, i) => [node, randomValues(node, 'normal', i)]));
  const [expected] = evaluateReference([network], values);

  test.each([
    ['as they are', {}],
    ['no subgroups', { subgroups: false }],
    ['a GPU without subgroups', { subgroups: false, isCpu: false, kind: 'gpu' }],
    ['a GPU', { isCpu: false, kind: 'gpu' }],
  ] as const)('%s', async (_, mask) => {
    const masked = new Engine({ device: gpu.device, caps: maskCaps(gpu.caps, mask) });
    const plan = await masked.compile({ outputs: { y: network } });
    if ('subgroups' in mask) for (const code of plan.shaders.values()) expect(code).not.toMatch(/subgroup\w*\(/);
    const data = Object.fromEntries([x, w, b].map((node) => [node.label, toHost(values.get(node)!)]));
    const { y } = await plan.run(data, ['y']);
    plan.destroy();
    masked.destroy();
    toBeAllclose(y!, expected!, { reduction: 80 });
  });

  test('a GPU chooses other kernels than a CPU adapter', () => {
    const variants = (isCpu: boolean) =>
      [...lower({ outputs: { y: network } }, { caps: maskCaps(gpu.caps, { isCpu }) }).kernels.values()].map(
        ({ variant }) => variant,
      );
    expect(variants(true)).not.toEqual(variants(false));
  });

  test('an adapter without the needed limits is refused', () => {
    const caps = maskCaps(gpu.caps, { limits: { maxStorageBuffersPerShaderStage: 4 } });
    expect(() => new Engine({ device: gpu.device, caps })).toThrow(/maxStorageBuffersPerShaderStage 4.*need 8/);
  });
});

describe('errors', () => {
  test('wrong shapes name the op and all shapes', () => {
    const build = () => conv2d(input('x', [1, 3, 8, 8]), input('w', [4, 2, 3, 3]), input('b', [4]));
    expect(build).toThrow(ShapeError);
    expect(build).toThrow(/conv2d.*1x3x8x8.*4x2x3x3/);
  });

  test('a wrong input name or length', async () => {
    const x = input('x', [4]);
    const plan = await gpu.compile({ outputs: { y: add(x, x) } });
    expect(() => plan.write('z', new Float32Array(4))).toThrow(/no input 'z'; the plan has x/);
    expect(() => plan.write('x', new Float32Array(3))).toThrow(/3 values given for .*4/);
    plan.destroy();
  });

  test('a shader that does not compile is shown with its line', async () => {
    const broken: Op<null> = {
      name: 'broken',
      infer: ([type]) => type!,
      reference: ([values]) => values!,
      variants: [
        {
          name: 'only',
          kernel: () => ({
            shader: { name: 'broken.wgsl', source: '@compute @workgroup_size(1)\nfn main() { let x: i32 = 1.5; }\n' },
            grid: [1],
          }),
        },
      ],
    };
    const compiled = gpu.compile({ outputs: { y: makeNode(broken, [input('x', [1])], null) } });
    await expect(compiled).rejects.toThrow(ShaderError);
    await expect(compiled).rejects.toThrow(/broken.wgsl.*line 2[\s\S]*let x: i32 = 1.5/);
  });

  test('a shader that cannot be loaded', async () => {
    const source = () => Promise.reject(new TypeError('no such file'));
    const variants = [{ name: 'only', kernel: () => ({ shader: { name: 'away.wgsl', source }, grid: [1] as const }) }];
    const away: Op<null> = { name: 'away', infer: ([type]) => type!, reference: ([values]) => values!, variants };
    const compiled = gpu.compile({ outputs: { y: makeNode(away, [input('x', [1])], null) } });
    await expect(compiled).rejects.toThrow(UserError);
    await expect(compiled).rejects.toThrow('shaders cannot be loaded: no such file.');
  });

  test('a forced variant that the device cannot run', async () => {
    const caps = maskCaps(gpu.caps, { subgroups: false });
    const masked = new Engine({ device: gpu.device, caps });
    const y = conv2d(input('x', [1, 8, 16, 16]), input('w', [8, 8, 3, 3]), input('b', [8]));
    await expect(masked.compile({ outputs: { y }, variants: { conv2d: 'lanes' } })).rejects.toThrow(/conv2d.*lanes/);
  });

  test('a tensor that no binding can hold', async () => {
    const caps = maskCaps(gpu.caps, { limits: { maxStorageBufferBindingSize: 2 ** 27 } });
    const small = new Engine({ device: gpu.device, caps });
    const x = input('x', [9, 1024, 64, 64]);
    await expect(small.compile({ outputs: { y: add(x, x) } })).rejects.toThrow(OutOfMemoryError);
    await expect(small.compile({ outputs: { y: add(x, x) } })).rejects.toThrow(/144.0 MiB.*128.0 MiB/);
  });

  test('a run that the device refuses is an error of that run alone', async () => {
    const x = input('x', [4]);
    const [broken, sound] = [
      await gpu.compile({ outputs: { y: add(x, x) } }),
      await gpu.compile({ outputs: { y: add(x, x) } }),
    ];
    broken.inputBuffer('x').destroy();
    const data = { x: Float32Array.of(1, 2, 3, 4) };
    const uncaptured: string[] = [];
    const listen = ({ error }: GPUUncapturedErrorEvent) => uncaptured.push(error.message);
    gpu.device.addEventListener('uncapturederror', listen);
    const [refused, result] = await Promise.allSettled([broken.run({}, ['y']), sound.run(data, ['y'])]);
    expect(refused).toMatchObject({ status: 'rejected', reason: expect.any(DeviceError) });
    expect(String((refused as PromiseRejectedResult).reason)).toMatch(
      /the device refused a run of a plan: .*destroyed/,
    );
    expect(result).toMatchObject({ status: 'fulfilled', value: { y: Float32Array.of(2, 4, 6, 8) } });
    expect(uncaptured).toEqual([]);
    gpu.device.removeEventListener('uncapturederror', listen);
    broken.destroy();
    sound.destroy();
  });

  test('a plan over the memory that it may take, before anything is compiled', async () => {
    const compiled: string[] = [];
    const onShader = (name: string) => compiled.push(name);
    const small = new Engine({ device: gpu.device, memoryBytes: 2 ** 20, onShader });
    const x = input('x', [2 ** 17]);
    await expect(small.compile({ outputs: { y: add(x, x) } })).resolves.toBeDefined();
    compiled.length = 0;
    const wide = input('x', [2, 2 ** 17]);
    const refused = small.compile({ outputs: { y: add(wide, wide) } });
    await expect(refused).rejects.toThrow(OutOfMemoryError);
    await expect(refused).rejects.toThrow('the plan needs 2.0 MiB of memory, more than the 1.0 MiB that there are.');
    expect(compiled).toEqual([]);
  });

  test('a variant that is excluded is not used, and said to be', async () => {
    const y = add(input('x', [4]), input('z', [4]));
    const [name] = y.op.variants.map((variant) => variant.name);
    const without = new Engine({ device: gpu.device, excluded: new Set([`${y.op.name}/${name}`]) });
    await expect(without.compile({ outputs: { y } })).rejects.toThrow(
      `no variant runs f32[4], f32[4] here; excluded are ${y.op.name}/${name}, which failed their check on this adapter.`,
    );
    const conv = conv2d(input('x', [1, 8, 16, 16]), input('w', [8, 8, 3, 3]), input('b', [8]));
    const chosen = (excluded: readonly string[]) =>
      chooseVariant(conv, { caps: gpu.caps, excluded: new Set(excluded) }).name;
    expect(chosen([`conv2d/${chosen([])}`])).not.toBe(chosen([]));
    const forced = () =>
      chooseVariant(conv, { caps: gpu.caps, excluded: new Set(['conv2d/direct']) }, { conv2d: 'direct' });
    expect(forced).toThrow("conv2d: variant 'direct' failed its check on this adapter and is excluded");
  });

  test('a lost device', async () => {
    const opened = await openDevice();
    const own = new Engine({ device: opened.device });
    const x = input('x', [4]);
    const plan = await own.compile({ outputs: { y: add(x, x) } });
    opened.close();
    await opened.device.lost;
    await expect(plan.run({ x: new Float32Array(4) }, ['y'])).rejects.toThrow(DeviceLostError);
    await expect(own.compile({ outputs: { y: add(x, x) } })).rejects.toThrow(DeviceLostError);
  });

  test('an adapter that is not there', async () => {
    const opened = openDevice({ adapter: 'voodoo' });
    await expect(opened).rejects.toThrow(UserError);
    await expect(opened).rejects.toThrow(/'voodoo'; found: /);
  });
});

describe('parameters', () => {
  test('constants are computed once and again after an upload', async () => {
    const p = new Parameter('p', { shape: [3], dtype: 'f32' }, Float32Array.of(1, 2, 3));
    const plan = await gpu.compile({ outputs: { y: mean(p.node) } });
    expect((await plan.read(['y']))['y']![0]).toBeCloseTo(2, 6);
    p.data = Float32Array.of(4, 5, 6);
    gpu.upload(p);
    plan.prepare();
    expect((await plan.read(['y']))['y']![0]).toBeCloseTo(5, 6);
    plan.destroy();
    gpu.release([p]);
  });
});

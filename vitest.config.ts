import { readFileSync } from 'node:fs';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { swiftShaderFolder } from './src/node/vulkan.ts';

/**
 * Suites with scripts of their own: `npm run test:SUITE` runs one, `test:full` all of them and the default one. Naming files of one
 * alone chooses it, too.
 */
const SUITES = ['commands', 'pipeline', 'kernels', 'counts', 'masks', 'package', 'chromium'] as const;
const suiteOf = (file: string) => /\.(\w+)\.test\.ts$/.exec(file)?.[1];
const named = new Set(process.argv.filter((argument) => argument.endsWith('.test.ts')).map(suiteOf));
const wanted = process.env['RAAD_TEST'] ?? (named.size === 1 ? [...named][0] : undefined);
// Tests read it.
if (wanted !== undefined) process.env['RAAD_TEST'] = wanted;
const suite = SUITES.find((name) => name === wanted);
const full = wanted === 'full';
const ALL = suite ? [`test/**/*.${suite}.test.ts`] : ['test/**/*.test.ts'];
/** Those of the suite that is run. */
const filesOf = (...names: readonly string[]) =>
  names.map((name) => `test/${name}.test.ts`).filter((file) => suiteOf(file) === suite);
const LONG = full || suite ? [] : ['full', ...SUITES].map((name) => `test/**/*.${name}.test.ts`);

/**
 * Tests of kernels that run once: they wait for lavapipe to compile these. Without optimization passes that takes less
 * time, and what the kernels compute is the same. Networks run long enough for optimized kernels, as users have them, to pay.
 */
const UNOPTIMIZED = { GALLIVM_PERF: 'nopt' };
const RUN_ONCE = filesOf(
  ...['ops', 'bench', 'benchKinds.kernels', 'conv2dMatrix', 'doctor', 'matrix', 'nibbles', 'winograd'],
  'winogradIntegers.kernels',
);

/**
 * Tests of the kernels of GPUs, which are unrolled: SwiftShader compiles them in a quarter of lavapipe's time, so that they run
 * there by default. The full run, and one on an adapter that is named, have a single project.
 */
const GPU_KERNELS = filesOf('absorb.kernels', 'ops', 'weightGrad', 'winogradHalves.kernels', 'words');
const projects: TestProjectConfiguration[] = [
  {
    extends: true,
    test: {
      name: 'lavapipe',
      include: ALL,
      exclude: [...LONG, ...GPU_KERNELS, ...RUN_ONCE],
      env: { RAAD_KERNELS: 'cpu' },
    },
  },
  {
    extends: true,
    test: { name: 'unoptimized lavapipe', include: RUN_ONCE, env: { RAAD_KERNELS: 'cpu', ...UNOPTIMIZED } },
  },
  {
    extends: true,
    test: {
      name: 'SwiftShader',
      include: GPU_KERNELS,
      env: { RAAD_KERNELS: 'gpu', RAAD_ADAPTER: 'swiftshader' },
    },
  },
];
const hasBoth = process.env['RAAD_ADAPTER'] === undefined && swiftShaderFolder() !== undefined;
const isSplit = !full && (!suite || suite === 'kernels') && hasBoth;
// Commands and pipelines train.
if (!isSplit && !full && suite !== 'commands' && suite !== 'pipeline')
  Object.assign(process.env, { ...UNOPTIMIZED, ...process.env });
// They compile the kernels of GPUs.
if ((suite === 'masks' || suite === 'counts') && hasBoth)
  Object.assign(process.env, { RAAD_KERNELS: 'gpu', RAAD_ADAPTER: 'swiftshader' });

/** The files that take longest where no shader is in a cache; neighbors share few shaders. */
const LONGEST = [
  ...['ops', 'integer', 'torchNetworks', 'maps', 'nearest', 'onnxQuantized', 'savedFiles', 'detector'],
  ...['winograd', 'bench', 'doctor', 'nibbles'],
  // Of the suite of pipelines.
  ...['fit', 'tuning', 'integerPlans', 'prepare', 'recovery', 'tiledMaps', 'hqs'].map((name) => `${name}.pipeline`),
];

/**
 * Of every project the longest files go first, so that both workers end at about the same time. Without it vitest goes by earlier
 * durations, which a fresh clone does not have, or by the sizes of files.
 */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const projects = [...new Set(sorted.map(({ project }) => project.name))];
    const place = ({ moduleId }: TestSpecification) => {
      const longest = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return longest < 0 ? LONGEST.length : longest;
    };
    return projects.flatMap((name) =>
      sorted.filter(({ project }) => project.name === name).sort((a, b) => place(a) - place(b)),
    );
  }
}

export default defineConfig({
  plugins: [
    {
      name: 'wgsl-as-text',
      enforce: 'pre',
      load(id) {
        if (!id.endsWith('.wgsl')) return null;
        return `export default ${JSON.stringify(readFileSync(id, 'utf8'))};`;
      },
    },
  ],
  test: {
    // A software driver with an empty shader cache compiles for minutes what a test then runs in a second.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // One Dawn instance per worker process. The driver compiles in one thread: with a second worker it uses two.
    pool: 'forks',
    maxWorkers: 2,
    isolate: false,
    setupFiles: ['test/support/typedArrays.ts'],
    sequence: { sequencer: LongestFirst },
    ...(isSplit ? { projects } : { include: ALL, exclude: LONG }),
  },
});

import { readFileSync } from 'node:fs';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { swiftShaderFolder } from './src/node/vulkan.ts';

const full = process.env['RAAD_TEST'] === 'full';
// Long ones belong to `npm run test:full`.
const LONG = full ? [] : ['test/**/*.full.test.ts'];
const ALL = ['test/**/*.test.ts'];

/**
 * Tests of the kernels of GPUs, which are unrolled: SwiftShader compiles them in a quarter of lavapipe's time, so that they run
 * there by default. The full run, and one on an adapter that is named, have a single project.
 */
const GPU_KERNELS = ['absorb', 'count', 'masks', 'predict', 'weightGrad', 'winogradHalves', 'words'].map(
  (name) => `test/${name}.test.ts`,
);
const KERNELS = 'test/ops.test.ts';
const projects: TestProjectConfiguration[] = [
  {
    extends: true,
    test: { name: 'lavapipe', include: ALL, exclude: [...LONG, ...GPU_KERNELS], env: { RAAD_KERNELS: 'cpu' } },
  },
  {
    extends: true,
    test: {
      name: 'SwiftShader',
      include: [KERNELS, ...GPU_KERNELS],
      env: { RAAD_KERNELS: 'gpu', RAAD_ADAPTER: 'swiftshader' },
    },
  },
];
const isSplit = !full && process.env['RAAD_ADAPTER'] === undefined && swiftShaderFolder() !== undefined;

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
    ...(isSplit ? { projects } : { include: ALL, exclude: LONG }),
  },
});

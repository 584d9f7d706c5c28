import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

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
    include: ['test/**/*.test.ts'],
    // Long ones belong to `npm run test:full`.
    exclude: process.env['RAAD_TEST'] === 'full' ? [] : ['test/**/*.full.test.ts'],
    // A software driver with an empty shader cache compiles for minutes what a test then runs in a second.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // One Dawn instance per worker process. The driver compiles in one thread: with a second worker it uses two.
    pool: 'forks',
    maxWorkers: 2,
    isolate: false,
  },
});

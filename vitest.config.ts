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
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // One Dawn instance per worker process; two workers would share two cores with the software driver.
    pool: 'forks',
    maxWorkers: 1,
    isolate: false,
  },
});

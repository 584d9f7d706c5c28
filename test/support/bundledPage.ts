import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import { launchChromium, WITH_WEBGPU } from './chromium.ts';

export type Files = Readonly<Record<string, [type: string, body: string | Uint8Array]>>;

/** Serves files on loopback. */
async function serve(files: Files): Promise<Server> {
  const server = createServer(({ url }, response) => {
    const file = files[url ?? ''];
    if (!file) return response.writeHead(404).end();
    return response.writeHead(200, { 'content-type': file[0] }).end(file[1]);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Canvases and frames of videos are textures where Chromium draws everything by the adapter's driver. */
export const WITH_FRAMES = ['--use-vulkan=swiftshader', '--use-angle=vulkan'];

/** A module with all that it imports from the project's root, as a browser runs it. */
export async function bundled(script: string): Promise<Uint8Array> {
  const { outputFiles } = await build({
    stdin: { contents: script, resolveDir: fileURLToPath(new URL('../..', import.meta.url)), loader: 'ts' },
    bundle: true,
    format: 'esm',
    target: 'es2023',
    platform: 'browser',
    loader: { '.wgsl': 'text' },
    write: false,
  });
  return outputFiles[0]!.contents;
}

/** Runs something on a page in Chromium whose script may import the library. @param flags of Chromium, besides those for WebGPU */
export async function withPage<T>(
  script: string,
  files: Files,
  use: (page: Page) => Promise<T>,
  flags: readonly string[] = [],
): Promise<T> {
  const server = await serve({
    ...files,
    '/': ['text/html', '<!doctype html><script type="module" src="/page.js"></script>'],
    '/page.js': ['text/javascript', await bundled(script)],
  });
  const browser = await launchChromium(...WITH_WEBGPU, ...flags);
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction('window.ready');
    return await use(page);
  } finally {
    await browser.close();
    server.close();
  }
}

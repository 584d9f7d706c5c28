import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/model/detector.ts';
import { saveDetector } from '../src/model/modelFile.ts';
import { encodePng } from '../src/node/images.ts';
import { hasChromium, launchChromium } from './chromium.ts';
import { engine } from './gpu.ts';
import { untrainedDetector } from './untrained.ts';

/** Serves a page, its script, a model and an image on loopback. */
async function serve(files: Readonly<Record<string, [type: string, body: string | Uint8Array]>>): Promise<Server> {
  const server = createServer(({ url }, response) => {
    const file = files[url ?? ''];
    if (!file) return response.writeHead(404).end();
    return response.writeHead(200, { 'content-type': file[0] }).end(file[1]);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

test.runIf(hasChromium)('the bundled library predicts in Chromium as in Node', { timeout: 300_000 }, async () => {
  const { image } = renderSpecimen('biscuit', 'crack', 3, 160);
  const detector = new Detector(await engine(), await untrainedDetector());
  const expected = await detector.predict(image);
  const model = await saveDetector(detector);
  detector.destroy();

  const bundle = await build({
    stdin: {
      contents: `
        import { Engine, imageFrom, loadDetector, openBrowserDevice } from './src/browser.ts';
        window.predict = async () => {
          const engine = new Engine({ device: await openBrowserDevice() });
          const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
          const detector = await loadDetector(engine, await bytes('/model.safetensors'));
          const image = await imageFrom(await (await fetch('/image.png')).blob());
          const { map, score, width, height } = await detector.predict(image);
          return { map: [...map], score, width, height, adapter: engine.caps.description || engine.caps.architecture };
        };`,
      resolveDir: fileURLToPath(new URL('..', import.meta.url)),
      loader: 'ts',
    },
    bundle: true,
    format: 'esm',
    target: 'es2023',
    platform: 'browser',
    loader: { '.wgsl': 'text' },
    write: false,
  });
  const server = await serve({
    '/': ['text/html', '<!doctype html><script type="module" src="/page.js"></script>'],
    '/page.js': ['text/javascript', bundle.outputFiles[0]!.contents],
    '/model.safetensors': ['application/octet-stream', model],
    '/image.png': ['image/png', await encodePng(image)],
  });
  const browser = await launchChromium(
    '--enable-unsafe-webgpu',
    '--use-webgpu-adapter=swiftshader',
    '--enable-features=Vulkan',
  );
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction('window.predict');
    const result = (await page.evaluate('window.predict()')) as typeof expected & { adapter: string };
    expect([result.width, result.height]).toEqual([160, 160]);
    const largest = Math.max(...expected.map.map(Math.abs));
    let worst = 0;
    expected.map.forEach((value, i) => {
      worst = Math.max(worst, Math.abs(value - result.map[i]!));
    });
    console.log(`Chromium on ${result.adapter}: largest difference ${worst.toExponential(1)} of ${largest.toFixed(3)}`);
    expect(worst / largest).toBeLessThan(1e-3);
    expect(result.score).toBeCloseTo(expected.score, 3);
  } finally {
    await browser.close();
    server.close();
  }
});

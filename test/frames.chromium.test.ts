import { expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { saveDetector } from '../src/detector/modelFile.ts';
import { encodePng } from '../src/node/images.ts';
import { WITH_FRAMES, withPage } from './support/bundledPage.ts';
import { hasChromium } from './support/chromium.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

/** What a page does with frames of a video, and with the texture of its canvas, whose format is its own. */
const SCRIPT = `
  import { Engine, imageFrom, loadDetector, openBrowserDevice, UserError } from './src/browser.ts';
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());

  async function read(device, buffer) {
    const staging = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    return [...new Float32Array(staging.getMappedRange().slice(0))];
  }

  window.run = async () => {
    const device = await openBrowserDevice();
    const uncaptured = [];
    device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
    const engine = new Engine({ device });
    const detector = await loadDetector(engine, await bytes('/model.safetensors'));
    const blob = await (await fetch('/image.png')).blob();
    const picture = await imageFrom(blob);
    const { width, height } = picture;
    const result = { predict: [...(await detector.predict(picture)).map] };
    const map = device.createBuffer({ size: 4 * width * height, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('webgpu');
    const format = navigator.gpu.getPreferredCanvasFormat();
    context.configure({ device, format, usage: GPUTextureUsage.COPY_SRC | GPUTextureUsage.RENDER_ATTACHMENT | GPUTextureUsage.COPY_DST });
    const rgba = new Uint8Array(4 * width * height).fill(255);
    for (let i = 0; i < width * height; i++) rgba.set(picture.data.subarray(3 * i, 3 * i + 3), 4 * i);
    const frame = () => new VideoFrame(rgba, { format: 'RGBX', codedWidth: width, codedHeight: height, timestamp: 0 });

    const encoded = async (prepared, image, heatmap) => {
      const encoder = device.createCommandEncoder();
      prepared.encode(encoder, { image, map, ...(heatmap && { heatmap: { target: heatmap } }) });
      device.queue.submit([encoder.finish()]);
      return read(device, map);
    };
    const frames = await detector.prepare({ width, height, format: 'external', heatmapFormat: format });
    const first = frame();
    result.frame = await encoded(frames, first, context.getCurrentTexture());
    result.external = await encoded(frames, device.importExternalTexture({ source: first }));
    first.close();

    const texture = context.getCurrentTexture();
    device.queue.copyExternalImageToTexture({ source: await createImageBitmap(blob) }, { texture }, [width, height]);
    result.canvas = await encoded(await detector.prepare({ width, height, format }), texture);

    const refusals = [];
    const small = new VideoFrame(rgba, { format: 'RGBX', codedWidth: width, codedHeight: height - 10, timestamp: 0 });
    for (const image of [first, small, texture]) {
      try {
        frames.encode(device.createCommandEncoder(), { image, map });
        refusals.push('accepted');
      } catch (error) {
        refusals.push(error instanceof UserError ? error.message : String(error));
      }
    }
    small.close();
    await device.queue.onSubmittedWorkDone();
    return { ...result, refusals, uncaptured };
  };
  window.ready = true;`;

interface Results {
  readonly [name: string]: readonly number[];
}

test.runIf(hasChromium)(
  'frames of a video, the texture of a canvas, and a region: the same map in Chromium as in Node',
  { timeout: 300_000 },
  async () => {
    const { image } = renderSpecimen('biscuit', 'crack', 3, 160);
    const corners = [
      [20, 10],
      [150, 22],
      [140, 150],
      [8, 131.5],
    ] as const;
    const state = { ...(await untrainedDetector()), region: { width: 160, height: 160, corners } };
    const detector = new Detector(await engine(), state);
    const { map, score } = await detector.predict(image);
    const { refusals, uncaptured, ...maps } = (await withPage(
      SCRIPT,
      {
        '/model.safetensors': ['application/octet-stream', await saveDetector(detector)],
        '/image.png': ['image/png', await encodePng(image)],
      },
      (page) => page.evaluate('window.run()'),
      WITH_FRAMES,
    )) as { refusals: string[]; uncaptured: string[] } & Results;
    detector.destroy();
    expect(Object.keys(maps).sort()).toEqual(['canvas', 'external', 'frame', 'predict']);
    for (const [name, found] of Object.entries(maps) as [string, readonly (number | null)[]][]) {
      let [worst, edges] = [0, 0];
      for (const [i, value] of map.entries()) {
        const other = found[i] ?? Number.NaN;
        if (Number.isNaN(value) !== Number.isNaN(other)) edges++;
        else if (!Number.isNaN(value)) worst = Math.max(worst, Math.abs(value - other));
      }
      expect(worst / score, name).toBeLessThan(1e-3);
      expect(edges, name).toBeLessThan(4);
    }
    expect(refusals).toEqual([
      expect.stringContaining('the frame has been closed'),
      'encode: the frame is 160x150, expected 160x160.',
      "encode: 'image' is no frame.",
    ]);
    expect(uncaptured).toEqual([]);
  },
);

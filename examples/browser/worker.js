// The worker of inspector.js: the device, the detector and the canvas are here, so that the page's thread has nothing to wait for.
import { Engine, loadDetector, openBrowserDevice } from 'raad-webgpu/browser';

/** @returns a function that shows a picture under its heat map, and gives its score */
async function openInspector(canvas, model) {
  const device = await openBrowserDevice();
  const detector = await loadDetector(new Engine({ device }), model);
  const { width, height } = canvas;
  const size = [width, height];
  const format = 'rgba8unorm';
  const { COPY_DST, COPY_SRC, RENDER_ATTACHMENT } = GPUTextureUsage;
  const context = canvas.getContext('webgpu');
  context.configure({ device, format, usage: RENDER_ATTACHMENT | COPY_DST });
  const image = device.createTexture({ size, format, usage: COPY_DST | COPY_SRC | RENDER_ATTACHMENT });
  const score = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  const staging = device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const prepared = await detector.prepare({ width, height, format, heatmapFormat: format });

  return async (picture) => {
    device.queue.copyExternalImageToTexture({ source: picture }, { texture: image }, size);
    picture.close();
    const target = context.getCurrentTexture();
    const encoder = device.createCommandEncoder();
    encoder.copyTextureToTexture({ texture: image }, { texture: target }, size);
    prepared.encode(encoder, { image, score, heatmap: { target } });
    encoder.copyBufferToBuffer(score, 0, staging, 0, 4);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const [value] = new Float32Array(staging.getMappedRange());
    staging.unmap();
    return value;
  };
}

let inspect;
addEventListener('message', async ({ data }) => {
  try {
    if (data.canvas) inspect = await openInspector(data.canvas, data.model);
    postMessage({ score: data.picture && (await inspect(data.picture)) });
  } catch ({ message }) {
    postMessage({ message });
  }
});

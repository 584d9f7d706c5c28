// An app's own scene with the heat map over it: one device, one command encoder and one submission a frame.
import { Engine, loadDetector, withRequirements } from 'raad-webgpu/browser';

/** A conveyor belt: the picture goes past, again and again. */
const BELT = `
@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var<uniform> shift: u32;

@vertex
fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
  return vec4f(f32(i & 1u) * 4.0 - 1.0, f32(i >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn color(@builtin(position) at: vec4f) -> @location(0) vec4f {
  let column = (u32(at.x) + shift) % textureDimensions(picture).x;
  return textureLoad(picture, vec2u(column, u32(at.y)), 0);
}`;

/**
 * Draws a scene on a canvas, and what the detector thinks of it.
 * @param {HTMLCanvasElement} canvas takes the picture's size
 * @param model URL of a model file, or what else `loadDetector` takes
 * @param {ImageBitmap} picture what lies on the belt
 * @returns `frame(shift)` draws one frame, with the belt moved by so many pixels
 */
export async function openScene(canvas, model, picture) {
  const adapter = await navigator.gpu.requestAdapter();
  // The app asks for what it needs itself; the kernels' limits and features are added.
  const device = await adapter.requestDevice(withRequirements(adapter, { label: 'belt' }));
  const detector = await loadDetector(new Engine({ device }), model);

  const { width, height } = picture;
  const size = [width, height];
  const format = navigator.gpu.getPreferredCanvasFormat();
  Object.assign(canvas, { width, height });
  const context = canvas.getContext('webgpu');
  context.configure({ device, format, usage: GPUTextureUsage.RENDER_ATTACHMENT | GPUTextureUsage.COPY_DST });

  const { COPY_DST, COPY_SRC, RENDER_ATTACHMENT, TEXTURE_BINDING } = GPUTextureUsage;
  const painted = device.createTexture({
    size,
    format: 'rgba8unorm',
    usage: TEXTURE_BINDING | COPY_DST | RENDER_ATTACHMENT,
  });
  device.queue.copyExternalImageToTexture({ source: picture }, { texture: painted }, size);
  const scene = device.createTexture({ size, format, usage: RENDER_ATTACHMENT | COPY_SRC });
  const shift = device.createBuffer({ size: 4, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  const module = device.createShaderModule({ code: BELT });
  const pipeline = await device.createRenderPipelineAsync({
    layout: 'auto',
    vertex: { module },
    fragment: { module, targets: [{ format }] },
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [
      { binding: 0, resource: painted.createView() },
      { binding: 1, resource: { buffer: shift } },
    ],
  });

  const prepared = await detector.prepare({ width, height, format, heatmapFormat: format });

  function frame(pixels) {
    device.queue.writeBuffer(shift, 0, Uint32Array.of(pixels));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginRenderPass({
      colorAttachments: [{ view: scene.createView(), loadOp: 'clear', storeOp: 'store' }],
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.draw(3);
    pass.end();
    const target = context.getCurrentTexture();
    encoder.copyTextureToTexture({ texture: scene }, { texture: target }, size);
    // The detector sees the scene as it was drawn; its heat map is blended over what the canvas holds.
    prepared.encode(encoder, { image: scene, heatmap: { target, opacity: 0.8 } });
    device.queue.submit([encoder.finish()]);
  }
  return { detector, frame };
}

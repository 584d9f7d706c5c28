import { requestDevice } from '../engine/adapter.ts';
import { UserError } from '../errors.ts';

/**
 * The browser's preferred device, with every limit and feature that kernels can use.
 * @throws UserError where WebGPU is missing or switched off
 */
export async function openBrowserDevice(options: GPURequestAdapterOptions = {}): Promise<GPUDevice> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance', ...options });
  if (!adapter) {
    throw new UserError(
      'this browser offers no WebGPU adapter.',
      'Use a current browser over HTTPS, with WebGPU enabled.',
    );
  }
  return requestDevice(adapter);
}

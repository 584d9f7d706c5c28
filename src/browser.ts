/// <reference lib="dom" preserve="true" />
/// <reference types="@webgpu/types" preserve="true" />
/** The library in a browser: everything of the package's root, the browser's device and its image decoders. */

export { openBrowserDevice } from './browser/device.ts';
export { imageDataOf, imageFrom } from './browser/images.ts';
export * from './index.ts';

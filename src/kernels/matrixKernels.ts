/* Kernels with halves or matrices, in one piece: a page fetches them for devices that use them. */
export { matrixConvolution } from './conv2dMatrixKernel.ts';
export { quantizedMatrixConvolution } from './qconv2dMatrixKernel.ts';
export { winogradHalvesInputOp, winogradHalvesProductOp } from './winogradHalves.ts';

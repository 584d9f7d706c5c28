/* Kernels that only CPU adapters run by default, in one piece: a page on a GPU does not fetch them. */
export { lowerPacked } from './conv2dPacked.ts';
export { lanesKernel, rowsKernel } from './qconv2dLanes.ts';
export { quantizedWinograd } from './quantizedWinograd.ts';

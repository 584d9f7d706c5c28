/** The ops that networks are built from. */
export { avgPool2d } from './avgPool2d.ts';
export { channelDistance } from './channelDistance.ts';
export { conv2d } from './conv2d.ts';
export type { Conv2dAttrs, Conv2dNode, Conv2dSignature } from './conv2dShape.ts';
export { dropout } from './dropout.ts';
export { add, broadcast, scale, squaredDifference } from './elementwise.ts';
export { adjustedImageToTensor, imageResize, imageToTensor, rgbToPixels, rgbWords } from './image.ts';
export { maximum } from './maximum.ts';
export { pad2d } from './pad2d.ts';
export {
  type Qconv2dAttrs,
  type Qconv2dInputs,
  type Qconv2dNode,
  type Qconv2dSignature,
  qconv2d,
  qmatmul,
} from './qconv2d.ts';
export { quantile } from './quantile.ts';
export { resizeBilinear } from './resizeBilinear.ts';
export { sliceOuter } from './slice.ts';
export { standardize } from './standardize.ts';
export {
  type ActivationStorage,
  activationRange,
  type CodeStorage,
  loadActivations,
  padWords,
  poolWords,
  rangeOf,
  storeActivations,
  type WordStorage,
} from './storage.ts';
export { channelSum, mean } from './sum.ts';
export { codeValue, packBlocks, scaleTable } from './weightBlocks.ts';

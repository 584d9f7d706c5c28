import weightsShader from '../../shaders/qconv2d_matrix_weights.wgsl';
import { u32 } from '../engine/graph.ts';
import { byteWeightsOp } from './byteWeights.ts';
import { STEP, STEP_WORDS } from './qconv2dMatrixTiling.ts';
import { BLOCK_IN } from './qconv2dShape.ts';

/** Signed bytes in the order of `qconv2d_matrix.wgsl`, in steps of 32 input channels. */
export const matrixWeightsOp = byteWeightsOp({
  name: 'qconv2dMatrixWeights',
  shader: { name: 'qconv2d_matrix_weights.wgsl', source: weightsShader },
  together: STEP_WORDS,
  params({ weights }) {
    const [, ci, kh, kw] = weights as [number, number, number, number];
    return { inWords: u32(Math.ceil(ci / BLOCK_IN)), steps: u32(Math.ceil(ci / STEP)), taps: u32(kh * kw) };
  },
});

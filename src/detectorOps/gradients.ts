import type { GradientRules } from '../engine/gradient.ts';
import { makeNode } from '../engine/graph.ts';
import { GRADIENT_RULES, rule } from '../gradients/rules.ts';
import { hardMeanGradOp, hardMeanOp } from './hardMean.ts';

/** The rules of all ops that a detector is trained with. */
export const DETECTOR_GRADIENT_RULES: GradientRules = new Map([
  ...GRADIENT_RULES,
  rule(hardMeanOp, (node, dy) => {
    return [makeNode(hardMeanGradOp, [...node.inputs, dy], {}, `${node.label}.dx`), undefined, undefined];
  }),
]);

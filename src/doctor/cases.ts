import type { DataType, Node } from '../engine/graph.ts';
import type { VariantChoice } from '../engine/lower.ts';
import type { ActivationStorage } from '../kernels/storage.ts';

/** How the values of an input are drawn. */
export type Fill = 'normal' | 'positive' | 'pixels' | 'ties' | 'bytes';

export interface InputSpec {
  readonly shape: readonly number[];
  readonly dtype?: DataType | undefined;
  readonly fill?: Fill | undefined;
}

/** One row: an op on one set of shapes. Every variant of the op is run on it. */
export interface Case {
  readonly name: string;
  readonly inputs: readonly InputSpec[];
  readonly build: (inputs: Node[]) => Node;
  /** Length of the longest sum behind an output element. */
  readonly reduction?: number | undefined;
  /** What the words of a u32 result hold; they are compared piece by piece then. */
  readonly storage?: ActivationStorage | undefined;
  /** By how many codes (u8) or units in the last place (f16) a stored value may differ; 0 by default. */
  readonly units?: number | undefined;
  /** Indices of inputs whose gradient is checked. */
  readonly gradient?: readonly number[] | undefined;
  /** Width of quantized weights. */
  readonly bits?: number | undefined;
  /** The row is for what a dispatch absorbs: it is run with that and without. */
  readonly absorbs?: Absorption | undefined;
  /** For the long test run only. */
  readonly full?: boolean | undefined;
  /** Large shapes, for `bench/`, full checks and the long test run only. */
  readonly perf?: boolean | undefined;
}

/** A dispatch that takes in what produces its input. @see Op.absorb */
export interface Absorption {
  /** `op/variant`, outermost first, of what the dispatch is a part of. */
  readonly steps: readonly string[];
  /** What forces it. */
  readonly variants: VariantChoice;
  /** Its op and variant, and that which absorbs nothing, if there is one. */
  readonly op: string;
  readonly variant: string;
  readonly plain?: string | undefined;
  /** Of plans of precision `f16`: what their variants may be off by, as a share of the largest value; 0 when absent. */
  readonly rounding?: number | undefined;
  /** Dispatches of a run, where the row absorbs all that it can. */
  readonly dispatches: number;
}

/** Inputs of one shape, by how their values are drawn. */
export const normal = (...shape: number[]): InputSpec => ({ shape });
export const positive = (...shape: number[]): InputSpec => ({ shape, fill: 'positive' });
export const ties = (...shape: number[]): InputSpec => ({ shape, fill: 'ties' });
export const pixels = (...shape: number[]): InputSpec => ({ shape, dtype: 'u32', fill: 'pixels' });

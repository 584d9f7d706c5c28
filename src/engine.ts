/// <reference lib="dom" preserve="true" />
/// <reference types="@webgpu/types" preserve="true" />
/**
 * The engine by itself: graphs of ops, their gradients, plans on a GPUDevice, quantized ops, tuning and the doctor. No network and
 * no detector is in it; `raad-webgpu` has those, with the same {@link Engine}.
 */

export type { Absorption, Case, Fill, InputSpec } from './doctor/cases.ts';
export {
  type DoctorFailure,
  type DoctorKnowledge,
  type DoctorOptions,
  type DoctorProgress,
  type DoctorReport,
  doctor,
  type SmokeResult,
  type SmokeTest,
  type VariantHealth,
  type Verdict,
} from './doctor/doctor.ts';
export { table as doctorTable } from './doctor/table.ts';
export { maskCaps, requestDevice, withRequirements } from './engine/adapter.ts';
export type { Allocation } from './engine/bind.ts';
export { type AdapterKind, type Caps, detectCaps, type SubgroupMatrixConfig } from './engine/caps.ts';
export type { CompileOptions } from './engine/compile.ts';
export { Engine, type EngineOptions } from './engine/engine.ts';
export {
  DestroyedError,
  DeviceError,
  DeviceLostError,
  OutOfMemoryError,
  ShaderError,
  ShapeError,
  UnsupportedError,
} from './engine/errors.ts';
export { type Differentiation, differentiate, type GradientRule, type GradientRules } from './engine/gradient.ts';
export {
  type Cost,
  type DataType,
  evaluateReference,
  type InputNodes,
  type InputTypes,
  type InputValues,
  input,
  isOf,
  type Kernel,
  makeNode,
  type Node,
  type Op,
  Parameter,
  type ParamValue,
  type Shader,
  type Signature,
  type TensorType,
  type Values,
  type ValuesByType,
  type Variant,
} from './engine/graph.ts';
export type { Grid } from './engine/grid.ts';
export type { Host, Owner } from './engine/host.ts';
export type { Layout, Place, Storage } from './engine/layout.ts';
export type { GraphOptions, Lowered, Target, VariantChoice } from './engine/lower.ts';
export type {
  BindingKind,
  CompiledKernel,
  PipelineCache,
  PipelineRequest,
  RequestOptions,
} from './engine/pipelines.ts';
export type { Dispatch, Plan, PlanParts, Step, TypedArray } from './engine/plan.ts';
export { chromeTrace, type DispatchTiming, type ProfileOptions, profile } from './engine/profile.ts';
export type { ShaderSource } from './engine/shaderText.ts';
export { shippedTuning } from './engine/shippedTuning.ts';
export { type Optimize, type TuneOptions, type TuneProgress, tune } from './engine/tune.ts';
export { adapterIdentity, Tuning, type TuningTable } from './engine/tuning.ts';
export type { AddedVariants, ExcludedVariants, Precision, VariantTarget } from './engine/variants.ts';
export { UserError } from './errors.ts';
export {
  dequantizeWeights,
  packCodes,
  type QuantizedWeights,
  quantizeWeights,
  unpackCodes,
  type WeightBits,
  type WeightQuantizer,
} from './formats/weightCodes.ts';
export { gradient } from './gradients/gradient.ts';
export { GRADIENT_RULES, rule } from './gradients/rules.ts';
export type { AvgPool2dAttrs } from './kernels/avgPool2d.ts';
export type { DropoutAttrs } from './kernels/dropout.ts';
export * from './kernels/index.ts';
export type { Pad2dAttrs } from './kernels/pad2d.ts';

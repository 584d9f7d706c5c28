/// <reference lib="dom" preserve="true" />
/// <reference types="@webgpu/types" preserve="true" />
/**
 * Detectors, training, quantization and their study, wherever they run: give {@link Engine} a GPUDevice. `raad-webgpu/node` and
 * `raad-webgpu/browser` add what opens devices and reads images there; `raad-webgpu/engine` has graphs and ops.
 */

export { type Dataset, type DefectConfig, GOOD, type LeftOut, splitHeldOut, type TestSample } from './data/dataset.ts';
export type { ImageSource, RgbImage } from './data/image.ts';
export type { PlantingOptions } from './data/plantedDefects.ts';
export type { AbortOptions } from './detector/abort.ts';
export { type CalibrateOptions, calibrate, type Judge, judge, newFilter, withFilter } from './detector/calibrate.ts';
export { type Calibration, conformalThreshold, judged, type Threshold } from './detector/conformal.ts';
export {
  Detector,
  type DetectorOptions,
  type Prediction,
  type PredictOptions,
  type RawMaps,
} from './detector/detector.ts';
export type { DetectorState, MapQuantiles, OtherSection, Provenance } from './detector/detectorState.ts';
export { heatmapRange } from './detector/heatmapRange.ts';
export type { GridMaps, MapChain, PlacedMap, RunSlices } from './detector/mapChain.ts';
export type { FilterGraph, MapFilter, MapFilterKind, RefitFilter } from './detector/mapFilter.ts';
export { type LoadOptions, loadDetector, readModel, saveDetector } from './detector/modelFile.ts';
export type { ModelSource, ReadOptions } from './detector/modelSource.ts';
export type { EncodeBindings, EncodeSizes, PreparedImage, PreparedPlans } from './detector/preparedImage.ts';
export {
  type ApplyPlanOptions,
  type PreparedQuantization,
  type PrepareQuantizationOptions,
  prepareQuantization,
  type QuantizeOptions,
  type QuantizeProgress,
  quantize,
} from './detector/quantize.ts';
export { type MapScores, mapScore } from './detector/score.ts';
export { gridOf } from './detector/seen.ts';
export type { Frame, Frames, StreamOptions } from './detector/stream.ts';
export type { DrawOptions, MapGrid, TiledOptions, TiledState, Tiling } from './detector/tiling.ts';
export type { Placement } from './detectorOps/maps.ts';
export type {
  DoctorFailure,
  DoctorOptions,
  DoctorProgress,
  DoctorReport,
  SmokeResult,
  VariantHealth,
  Verdict,
} from './doctor/doctor.ts';
export { maskCaps, requestDevice, withRequirements } from './engine/adapter.ts';
export type { Allocation as PlanAllocation } from './engine/bind.ts';
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
export type {
  Cost,
  DataType,
  InputNodes,
  InputTypes,
  InputValues,
  Kernel,
  Node,
  Op,
  Parameter,
  ParamValue,
  Shader,
  Signature,
  TensorType,
  Values,
  ValuesByType,
  Variant,
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
export type { Dispatch, Plan, PlanParts, Step as PlanStep, TypedArray } from './engine/plan.ts';
export type { ShaderSource } from './engine/shaderText.ts';
export { shippedTuning } from './engine/shippedTuning.ts';
export type { SliceOptions } from './engine/slices.ts';
export { adapterIdentity, Tuning, type TuningTable } from './engine/tuning.ts';
export type { AddedVariants, ExcludedVariants, Precision, VariantTarget } from './engine/variants.ts';
export { UserError } from './errors.ts';
export { MapStatistics } from './evaluation/bias.ts';
export {
  type ChooseFilterOptions,
  chooseFilter,
  type FilterChoice,
  type FilterRow,
} from './evaluation/chooseFilter.ts';
export { type Drift, DriftWatch } from './evaluation/drift.ts';
export {
  type DefectMetrics,
  type EvaluatedImage,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  FPR_LIMITS,
  type GroundTruth,
  type ImageResult,
  type Metrics,
  type Overlap,
  type TestSource,
  UnreadableImageError,
  type Verdicts,
} from './evaluation/evaluate.ts';
export { type PlantedFigureOptions, plantedFigure } from './evaluation/plantedFigure.ts';
export {
  EVERY_LAYER,
  type SensitivityMeasurement,
  type SensitivityOptions,
  sensitivity,
} from './evaluation/sensitivity.ts';
export {
  readSafetensors,
  type StoredTensor,
  type StoredType,
  type TensorData,
  type TensorEntry,
  type TensorFile,
  type WritableData,
  type WritableTensor,
  writeSafetensors,
} from './formats/safetensors.ts';
export {
  dequantizeWeights,
  packCodes,
  type QuantizedWeights,
  quantizeWeights,
  unpackCodes,
  type WeightBits,
  type WeightQuantizer,
} from './formats/weightCodes.ts';
export {
  ALLOCATIONS,
  type AllocateOptions,
  type Allocation,
  type AllocationMethod,
  type AllocationRow,
  allocate,
} from './hqs/allocate.ts';
export { layerLatencies, type OnMeasured, type PlanTimerOptions, planTimer } from './hqs/latencies.ts';
export {
  type LayerMap,
  type LayerMapKind,
  LayerMapReader,
  type LayerPair,
  layerPairs,
  placeLayerMap,
} from './hqs/layerMaps.ts';
export { type RoundingErrors, roundingErrors } from './hqs/leastError.ts';
export type { Latencies, Limit, SizeLimit, TimeLimit } from './hqs/limits.ts';
export {
  autoencoderScores,
  type Contribution,
  type LayerScore,
  layerScores,
  ompqScores,
  type ScoreOptions,
} from './hqs/scores.ts';
export { type RepeatedAllocation, type WidthDifference, widthDifferences } from './hqs/stability.ts';
export {
  allocateByTime,
  type PlanTimer,
  type PlanTiming,
  type TimeBudget,
  type TimedAllocation,
} from './hqs/timeBudget.ts';
export type { HeatmapStyle, HeatmapTarget } from './imaging/heatmapPass.ts';
export type { Point, RegionOfInterest } from './imaging/region.ts';
export type { ImageFormat, TextureImage, TextureLayer } from './imaging/textures.ts';
export type { TiledSize } from './imaging/tiles.ts';
export { type CalibrateImportedOptions, calibrateImported } from './interchange/calibrate.ts';
export {
  type ImportedDetector,
  type ImportOptions,
  importDetector,
  type NamedBytes,
} from './interchange/detector.ts';
export { exportTorchDetector, exportTorchTeacher, type TeacherNames } from './interchange/export.ts';
export { type ImportedTeacher, importTeacher } from './interchange/teacher.ts';
export type { Conv2dAttrs } from './kernels/conv2dShape.ts';
export { type BootstrapOptions, bootstrapInterval, type Interval } from './metrics/bootstrap.ts';
export { connectedComponents } from './metrics/components.ts';
export {
  componentRegions,
  type OverlapCurve,
  type PixelMetrics,
  pixelMetrics,
  type Region,
  type ScoredMap,
  saturationArea,
} from './metrics/overlap.ts';
export { auroc, type BinaryMetrics, binaryMetrics, type Labels } from './metrics/ranking.ts';
export { Autoencoder, type DropoutSource } from './networks/autoencoder.ts';
export type { Bank } from './networks/bank.ts';
export type { AnomalyMaps, InferenceGraph, InferenceParts } from './networks/inference.ts';
export { type MapGeometry, Networks, parameterCount } from './networks/networks.ts';
export {
  type ConvParameters,
  type ForwardOptions,
  type LayerGeometry,
  type Padding,
  PDN_CHANNELS,
  PDN_SIZES,
  Pdn,
  type PdnSize,
  pdnOutputSide,
} from './networks/pdn.ts';
export { exportDetector } from './onnx/detector.ts';
export { type ExportOptions, exportOnnx } from './onnx/export.ts';
export type { TapMeans } from './quantization/biases.ts';
export {
  type ActivationBits,
  type BitPlan,
  type CodeBits,
  type LayerPlan,
  layerBytes,
  parseBitPlan,
  uniformPlan,
} from './quantization/bitPlan.ts';
export { fakeQuantizeGraph, type LearnableScales, learnableScales } from './quantization/fakeGraph.ts';
export { integerGraph, type LayerCache } from './quantization/integerGraph.ts';
export type { CalibrationProgress, InputRanges } from './quantization/layerInputs.ts';
export {
  type ActivationQuantizer,
  type Quantization,
  type QuantizedLayer,
  quantizeNetworks,
} from './quantization/layers.ts';
export type { PreparationSettings, PreparedNetworks } from './quantization/prepare.ts';
export { type RangeMethod, RangeObserver } from './quantization/ranges.ts';
export { type ContactSheetOptions, type ContactSheetRow, contactSheet } from './report/contactSheet.ts';
export {
  type HeatmapInput,
  type HeatmapOptions,
  overlayHeatmap,
  renderHeatmap,
  type Verdict as HeatmapVerdict,
} from './report/heatmap.ts';
export { type StudyContext, studyCsv, studyMarkdown } from './report/study/tables.ts';
export { doctor } from './selfTest/doctor.ts';
export { ARMS, type Arm, type Treatment } from './study/arms.ts';
export { type CellResult, cellId, type StudyCell, studyCells } from './study/cells.ts';
export {
  type ArmSummary,
  type Comparison,
  compareArms,
  type Interval as ComparisonInterval,
  summarizeArms,
} from './study/comparisons.ts';
export type { StudyData, StudyOptions, StudyStore } from './study/options.ts';
export type { GalleryItem, RunRecord, Step as RunStep, StepRecord } from './study/record.ts';
export { type CellWatch, StudyRunner } from './study/runner.ts';
export { checkStudySettings, type StudySettings } from './study/settings.ts';
export { readTorch, type TorchFile } from './torch/file.ts';
export type { Setting, StoredTensorRecord, TensorRecord } from './torch/records.ts';
export { type TorchTensor, writeTorch } from './torch/write.ts';
export { type CrossFitOptions, crossFit } from './train/crossFit.ts';
export type { EarlyStop } from './train/earlyStop.ts';
export { type FitOptions, type FitProgress, type FitSettings, fit, PRESETS } from './train/fit.ts';
export { type FitNearestOptions, fitNearest, type NearestProgress, type NearestSettings } from './train/nearest.ts';
export { generatedPenalty, type PenaltySource, photographPenalty } from './train/penalty.ts';
export {
  type RecalibrateChange,
  type RecalibrateOptions,
  type RecalibrateProgress,
  type RecalibrateQuantizedOptions,
  type RecalibrateSettings,
  recalibrate,
  recalibrateQuantized,
  type TrainOnOptions,
  trainOn,
} from './train/recalibrate.ts';
export type { LossName } from './train/step.ts';
export type { CheckpointOptions, TrainingControl, TrainingProgress } from './train/trainingLoop.ts';

/// <reference lib="dom" preserve="true" />
/// <reference types="@webgpu/types" preserve="true" />
/** The library in Node: everything of the package's root, devices through Dawn, images and data sets on disk. */

export type { FileTree } from './data/dataset.ts';
export {
  type FoundDatasets,
  findDatasets,
  type NamedFolders,
  namedDataset,
  plainDataset,
  readDatasets,
} from './data/layouts.ts';
export { isImageFile } from './data/names.ts';
export type { InspectionSetOptions, PartName } from './data/synthetic/generate.ts';
export * from './index.ts';
export { checkDataset, type DataCheck } from './node/checkData.ts';
export {
  loadImages,
  type OpenedDatasets,
  openDatasets,
  type PlainFolders,
  testSource,
  trainingDigest,
} from './node/datasets.ts';
export { type AdapterEntry, listAdapters, type OpenDevice, type OpenDeviceOptions, openDevice } from './node/device.ts';
export { type Exclusion, exclusionFile, loadExclusions, saveExclusions } from './node/exclusions.ts';
export { expandImages, type OnLeftOut, readBytes } from './node/files.ts';
export { type WriteInspectionSetOptions, writeInspectionSet } from './node/generated.ts';
export { encodePng, type Mask, readImage, readMask } from './node/images.ts';
export { assertOutputs, assertWritable, writeAtomically } from './node/output.ts';
export { folderStore, openStudyData, openStudySets, ResultLog, type StudySet } from './node/study.ts';
export { readTeacher } from './node/teachers.ts';
export { type RunOptions, runSteps } from './node/threeSteps.ts';
export type { Toggles } from './node/toggles.ts';
export { loadTuning, saveTuning, tuningFile } from './node/tuning.ts';
export { readVariants } from './node/variants.ts';

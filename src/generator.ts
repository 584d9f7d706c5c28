/** Generated images: parts to inspect with their defects, defects planted into good images, natural-looking penalty images. */
export type { RgbImage } from './data/image.ts';
export { penaltyImage } from './data/penalty.ts';
export { PLANTED_DEFECTS, type PlantedDefect, type PlantedImage, plantDefect } from './data/plantedDefects.ts';
export {
  defectNames,
  generateInspectionSet,
  type InspectionSample,
  type InspectionSetOptions,
  PART_NAMES,
  type PartName,
  renderSpecimen,
  type Specimen,
} from './data/synthetic/generate.ts';

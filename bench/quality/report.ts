import { existsSync, readFileSync } from 'node:fs';

/** Ways to find defects, in the order of their columns. */
export const ARMS = {
  bank: 'memory bank',
  bank5: 'memory bank, 5 bits',
  bankMaps: 'memory bank, --maps auto',
  bankGaussian: 'memory bank, --maps gaussian',
  bankLocation: 'memory bank, --maps location',
  backbone: "memory bank of the backbone's features",
  raad: 'RAAD, float',
  raad5: 'RAAD, 5 bits',
  maps: 'RAAD, --maps auto',
  mapsGaussian: 'RAAD, --maps gaussian',
  mapsLocation: 'RAAD, --maps location',
  maps5: 'RAAD, --maps auto, 5 bits',
} as const;
export type Arm = keyof typeof ARMS;
export const ARM_NAMES = Object.keys(ARMS) as readonly Arm[];

/** What one arm reached on one data set. Metrics are in [0, 1]. */
export interface QualityRow {
  readonly set: string;
  /** Side of the input in pixels; the backbone sees its own. */
  readonly side: number;
  readonly seed: number;
  readonly arm: Arm;
  readonly auroc?: number;
  readonly ap?: number;
  /** AU-PRO below 30 % false positives, AU-sPRO below 5 % for MVTec LOCO. */
  readonly overlap?: number;
  readonly goodImages: number;
  readonly badImages: number;
  /** Of everything that made the model, on the machine of the report; absent where it was interrupted. */
  readonly fitSeconds?: number;
  /** Of an image, as defined: what is executed is less. */
  readonly multiplyAdds: number;
  /** From image to map, in turns with the other arms of the same set and seed. */
  readonly milliseconds?: number;
  /** Of the model file; of the backbone its file and the bank. */
  readonly bytes: number;
  /** What --maps auto chose. */
  readonly filter?: string;
}

export interface QualityReport {
  readonly adapter: string;
  readonly versions: Readonly<Record<string, string>>;
  /** Name and input side of the backbone, and its layers. */
  readonly backbone?: string;
  /** Words of `raad fit` for the networks. */
  readonly settings: string;
  readonly rows: readonly QualityRow[];
}

/** A report that is there already, or undefined. */
export function readReport(file: string): QualityReport | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as QualityReport) : undefined;
}

export const keyOf = ({ set, side, seed, arm }: Pick<QualityRow, 'set' | 'side' | 'seed' | 'arm'>) =>
  [set, side, seed, arm].join(' ');

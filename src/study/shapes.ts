import type { Shape } from '../checks/shape.ts';
import { checkShape, parseShape } from '../checks/shape.ts';
import { quote, UserError } from '../errors.ts';
import { WEIGHT_BITS } from '../formats/weightCodes.ts';
import { ALLOCATION_MODES } from '../hqs/allocate.ts';
import { CONTRIBUTIONS } from '../hqs/scores.ts';
import { PDN_SIZES } from '../networks/pdn.ts';
import { ARMS } from './arms.ts';
import { type CellResult, cellId } from './cells.ts';
import { STEPS } from './record.ts';

/** A count, or a number of bytes. */
const COUNT: Shape = { least: 0, most: Number.MAX_SAFE_INTEGER };
const POSITIVE: Shape = { least: 1, most: Number.MAX_SAFE_INTEGER };
const AT_LEAST_ZERO: Shape = { from: 0, to: Number.MAX_VALUE };
/** A metric in [0, 1], with room for rounding. */
const SHARE: Shape = { from: -1e-9, to: 1 + 1e-9 };
const MAYBE_SHARE: Shape = { optional: SHARE };
const WIDTH: Shape = { oneOf: [...WEIGHT_BITS, 16, 32] };
const LAYOUTS: Shape = { oneOf: ['mvtec-ad', 'mvtec-loco', 'mvtec-3d', 'visa', 'plain'] };

export const CELL_FIELDS = {
  set: 'text',
  seed: COUNT,
  arm: { oneOf: ARMS },
  recalibrated: 'truth value',
} as const satisfies Record<string, Shape>;

/** @see CellResult */
export const CELL_RESULT: Shape = {
  exact: true,
  fields: {
    ...CELL_FIELDS,
    id: 'text',
    layout: LAYOUTS,
    metrics: {
      exact: true,
      fields: {
        auroc: MAYBE_SHARE,
        ap: MAYBE_SHARE,
        pixelAuroc: MAYBE_SHARE,
        pixelAp: MAYBE_SHARE,
        overlap: MAYBE_SHARE,
        biasIndex: MAYBE_SHARE,
        simulatedAuroc: MAYBE_SHARE,
      },
    },
    size: {
      exact: true,
      fields: { weightBytes: COUNT, averageBits: { from: 0, to: 32 }, fileBytes: COUNT },
    },
    timing: { exact: true, fields: { milliseconds: AT_LEAST_ZERO, floatMilliseconds: AT_LEAST_ZERO } },
    memoryBytes: COUNT,
    bits: { record: WIDTH },
    images: { list: { tuple: ['text', 'number'] }, atLeast: 1 },
    adapter: 'text',
    seconds: AT_LEAST_ZERO,
  },
};

/**
 * A cell's result, from wherever it came; who passes one on checks it, too.
 * @param name of what holds it, shown in messages
 * @throws UserError naming the first value that cannot be used
 */
export function checkCellResult(value: unknown, name: string, fix: string): CellResult {
  const result = checkShape<CellResult>(value, CELL_RESULT, name, fix);
  if (result.id !== cellId(result))
    throw new UserError(`${name} calls the cell ${quote(cellId(result))} by the name ${quote(result.id)}.`, fix);
  return result;
}

/** The same of JSON text. @throws UserError as {@link checkCellResult} */
export function parseCellResult(text: string, name: string, fix: string): CellResult {
  return checkCellResult(parseShape(text, CELL_RESULT, name, fix), name, fix);
}

/** @see StudySettings; what is in range for its networks is judged by `checkStudySettings`. */
export const SETTINGS_FIELDS = {
  fit: {
    fields: {
      size: { oneOf: PDN_SIZES },
      resolution: POSITIVE,
      iterations: POSITIVE,
      batch: POSITIVE,
      learningRate: AT_LEAST_ZERO,
      weightDecay: AT_LEAST_ZERO,
    },
  },
  recalibration: {
    optional: {
      exact: true,
      fields: {
        iterations: { optional: POSITIVE },
        batch: { optional: POSITIVE },
        learningRate: { optional: AT_LEAST_ZERO },
        weightDecay: { optional: AT_LEAST_ZERO },
      },
    },
  },
  scoring: {
    optional: {
      exact: true,
      fields: {
        map: { optional: { oneOf: ['attention', 'ridge', 'cka'] } },
        contribution: { optional: { oneOf: CONTRIBUTIONS } },
        images: { optional: POSITIVE },
        plantings: { optional: POSITIVE },
      },
    },
  },
  allocation: {
    optional: {
      exact: true,
      fields: {
        mode: { optional: { oneOf: ALLOCATION_MODES } },
        thresholds: { optional: { list: { from: 0, to: 1 } } },
        bits: { optional: { list: WIDTH } },
        otherBits: { optional: WIDTH },
        limit: {
          optional: {
            exact: true,
            fields: { averageBits: { optional: AT_LEAST_ZERO }, bytes: { optional: COUNT } },
          },
        },
      },
    },
  },
  averageBits: { optional: AT_LEAST_ZERO },
  timeShare: { optional: AT_LEAST_ZERO },
} as const satisfies Record<string, Shape>;

/** `settings.json` of a study or a run. Fields of other versions differ from this one's, which is said when they are compared. */
export const SETTINGS_FILE: Shape = {
  fields: {
    ...SETTINGS_FIELDS,
    penalty: 'text',
    photographs: { optional: 'text' },
    data: { optional: { record: 'text' } },
    seed: { optional: COUNT },
    set: { optional: 'text' },
  },
};

/** Scores of layers, as cells share them. */
export const LAYER_SCORES: Shape = {
  list: { exact: true, fields: { layer: 'text', score: 'number', low: 'number', high: 'number' } },
  atLeast: 1,
};

const NUMBERS: Shape = { list: 'number' };
const MAYBE: Shape = { optional: 'number or null' };
const OVERLAP: Shape = { optional: { fields: { metric: { oneOf: ['AU-PRO', 'AU-sPRO'] }, areas: NUMBERS } } };

/** `steps/STEP.json`. @see StepRecord */
export const STEP_RECORD: Shape = {
  fields: {
    step: { oneOf: STEPS },
    model: 'text',
    result: CELL_RESULT,
    metrics: {
      fields: {
        goodImages: COUNT,
        badImages: COUNT,
        auroc: MAYBE,
        image: { optional: { fields: { auroc: 'number', f1Max: 'number' } } },
        overlap: OVERLAP,
        defects: { list: { fields: { defect: 'text', images: COUNT, auroc: MAYBE, overlap: OVERLAP } } },
      },
    },
    curve: { optional: { fields: { fpr: NUMBERS, overlap: NUMBERS } } },
    threshold: {
      optional: {
        fields: { value: 'number', alpha: { from: 0, to: 1 }, promised: { from: 0, to: 1 }, images: POSITIVE },
      },
    },
  },
};

/** `steps/gallery.json`. @see GalleryItem */
export const GALLERY: Shape = {
  list: {
    fields: {
      name: 'text',
      defect: 'text',
      score: 'number',
      isAnomalous: { optional: 'truth value' },
      image: 'text',
      heatmap: 'text',
      mask: { optional: 'text' },
    },
  },
};

/** `run.json`. @see RunRecord */
export const RUN_RECORD: Shape = {
  fields: {
    format: { oneOf: ['raad-run'] },
    version: { oneOf: [1] },
    set: 'text',
    seed: COUNT,
    settings: { fields: { ...SETTINGS_FIELDS, penalty: 'text' } },
    finished: 'text',
    versions: { record: 'text' },
    adapter: 'text',
    trainImages: COUNT,
    heldOutImages: COUNT,
    allocation: {
      list: {
        fields: {
          layer: 'text',
          names: { list: 'text' },
          bits: WIDTH,
          bytes: COUNT,
          score: 'number or null',
          low: 'number or null',
          high: 'number or null',
        },
      },
    },
    steps: { list: STEP_RECORD, atLeast: 1 },
    gallery: GALLERY,
  },
};

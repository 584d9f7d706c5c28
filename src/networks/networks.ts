import { size as elements, Parameter } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import { Autoencoder, checkSide } from './autoencoder.ts';
import type { Bank } from './bank.ts';
import { initialize } from './initialize.ts';
import { type LayerGeometry, type Padding, PDN_CHANNELS, Pdn, type PdnSize, pdnOutputSide } from './pdn.ts';

/** How the positions of a map lie on the networks' input, in its pixels. */
export interface MapGeometry extends LayerGeometry {
  /** Positions that published code puts around a map before it is stretched over the image. */
  readonly margin: number;
}

const PUBLISHED_MARGIN = 4;

/** The three networks of one detector and the teacher's statistics. */
export class Networks {
  readonly size: PdnSize;
  /** Input side in pixels. */
  readonly side: number;
  /** Of teacher and student. */
  readonly padding: Padding;
  /** Feature channels of the teacher, of each half of the student, and of the autoencoder. */
  readonly channels: number;
  /** Side of the feature maps and of the anomaly maps that the networks give. */
  readonly mapSide: number;
  readonly teacher: Pdn;
  /** Of detectors that remember normal features instead of training on them. */
  readonly bank: Bank | undefined;
  readonly #student: Pdn | undefined;
  readonly #autoencoder: Autoencoder | undefined;
  readonly teacherMean: Parameter;
  readonly teacherStd: Parameter;

  /**
   * @param bank makes the bank that stands in place of student and autoencoder, for a number of feature channels
   * @throws UserError for an unusable side
   */
  constructor(size: PdnSize, side: number, padding: Padding = 'none', bank?: (channels: number) => Bank) {
    checkSide(side);
    this.size = size;
    this.side = side;
    this.padding = padding;
    this.channels = PDN_CHANNELS[size];
    this.mapSide = pdnOutputSide(side, padding);
    this.teacher = new Pdn(size, 'teacher', this.channels, padding);
    this.bank = bank?.(this.channels);
    if (!bank) {
      this.#autoencoder = new Autoencoder(size, side, this.mapSide);
      this.#student = new Pdn(size, 'student', 2 * this.channels, padding);
    }
    const type = { shape: [this.channels], dtype: 'f32' } as const;
    this.teacherMean = new Parameter('teacher.mean', type);
    this.teacherStd = new Parameter('teacher.std', type, new Float32Array(this.channels).fill(1));
  }

  /** @throws UserError for a memory bank, which has none */
  get student(): Pdn {
    return this.#student ?? without('student');
  }

  /** @throws UserError for a memory bank, which has none */
  get autoencoder(): Autoencoder {
    return this.#autoencoder ?? without('autoencoder');
  }

  /** Positions of a map along so many pixels of input. */
  positions(pixels: number): number {
    return pdnOutputSide(pixels, this.padding);
  }

  /** Where maps lie on the input. */
  get mapGeometry(): MapGeometry {
    return { ...this.teacher.geometry.at(-1)!, margin: PUBLISHED_MARGIN };
  }

  /** What training changes. */
  get trained(): readonly Parameter[] {
    return [...this.student.parameters, ...this.autoencoder.parameters];
  }

  /** Everything a model file holds. */
  get parameters(): readonly Parameter[] {
    return [...this.teacher.parameters, this.teacherMean, this.teacherStd, ...(this.bank?.parameters ?? this.trained)];
  }

  /** Random weights for student and autoencoder, as PyTorch initializes them. */
  initialize(seed: number): void {
    initialize([...this.student.convolutions, ...this.autoencoder.encoder, ...this.autoencoder.decoder], seed);
  }
}

function without(network: string): never {
  throw new UserError(
    `the detector is a memory bank, which has no ${network}.`,
    'Give one that was trained: `raad fit` without --method nearest.',
  );
}

/** The number of values in some parameters. */
export function parameterCount(parameters: readonly Parameter[]): number {
  return parameters.reduce((sum, parameter) => sum + elements(parameter.type), 0);
}

import { size as elements, Parameter } from '../engine/graph.ts';
import { Autoencoder } from './autoencoder.ts';
import { initialize } from './initialize.ts';
import { type Padding, PDN_CHANNELS, Pdn, type PdnSize, pdnOutputSide } from './pdn.ts';

/** How the cells of a map lie on the networks' input, in its pixels. */
export interface MapGeometry {
  /** Center of the first cell. */
  readonly firstCell: number;
  /** From one cell to the next. */
  readonly stride: number;
  /** Cells that published code puts around a map before it is stretched over the image. */
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
  /** Side of the feature maps. */
  readonly cells: number;
  readonly teacher: Pdn;
  readonly student: Pdn;
  readonly autoencoder: Autoencoder;
  readonly teacherMean: Parameter;
  readonly teacherStd: Parameter;

  /** @throws UserError for an unusable side */
  constructor(size: PdnSize, side: number, padding: Padding = 'none') {
    this.size = size;
    this.side = side;
    this.padding = padding;
    this.channels = PDN_CHANNELS[size];
    this.cells = pdnOutputSide(side, padding);
    this.autoencoder = new Autoencoder(size, side, this.cells);
    this.teacher = new Pdn(size, 'teacher', this.channels, padding);
    this.student = new Pdn(size, 'student', 2 * this.channels, padding);
    const type = { shape: [this.channels], dtype: 'f32' } as const;
    this.teacherMean = new Parameter('teacher.mean', type);
    this.teacherStd = new Parameter('teacher.std', type, new Float32Array(this.channels).fill(1));
  }

  /** Where maps lie on the input. */
  get mapGeometry(): MapGeometry {
    const { offset, stride } = this.teacher.geometry.at(-1)!;
    return { firstCell: offset, stride, margin: PUBLISHED_MARGIN };
  }

  /** What training changes. */
  get trained(): readonly Parameter[] {
    return [...this.student.parameters, ...this.autoencoder.parameters];
  }

  /** Everything a model file holds. */
  get parameters(): readonly Parameter[] {
    return [...this.teacher.parameters, this.teacherMean, this.teacherStd, ...this.trained];
  }

  /** Random weights for student and autoencoder, as PyTorch initializes them. */
  initialize(seed: number): void {
    initialize([...this.student.convolutions, ...this.autoencoder.encoder, ...this.autoencoder.decoder], seed);
  }
}

/** The number of values in some parameters. */
export function parameterCount(parameters: readonly Parameter[]): number {
  return parameters.reduce((sum, parameter) => sum + elements(parameter.type), 0);
}

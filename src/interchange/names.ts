/** Names that other programs, and this one, give to the convolutions of the same networks, in order. */

const numbered = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word}${i + 1}`);

/** A PDN whose layers have names, as anomalib and this program write it. */
export const plainPdn = (convolutions: number) => numbered('conv', convolutions);

/** A PDN as a `Sequential`, as nelson1425 writes it: rectifiers and pools are counted. */
export const sequentialPdn = (convolutions: number) => (convolutions === 4 ? SEQUENTIAL_S : SEQUENTIAL_M);

const SEQUENTIAL_S = ['0', '3', '6', '8'];
const SEQUENTIAL_M = [...SEQUENTIAL_S, '10', '12'];

/** By the number of convolutions. */
export const PDN_NAMES: Readonly<Record<number, readonly (readonly string[])[]>> = {
  4: [plainPdn(4), SEQUENTIAL_S],
  6: [plainPdn(6), SEQUENTIAL_M],
};

/** Anomalib's autoencoder. */
export const ANOMALIB_AUTOENCODER = [...numbered('encoder.enconv', 6), ...numbered('decoder.deconv', 8)];

export const AUTOENCODER_NAMES: readonly (readonly string[])[] = [
  ANOMALIB_AUTOENCODER,
  [...numbered('enc', 6), ...numbered('dec', 8)],
  // nelson1425's `Sequential`: rectifiers, resizes and dropouts are counted.
  ['0', '2', '4', '6', '8', '10', '12', '16', '20', '24', '28', '32', '36', '38'],
];

/** Anomalib's statistics, by their names in its model. */
export const STATISTICS = { mean: 'mean_std.mean', std: 'mean_std.std' } as const;
export const QUANTILES = {
  studentTeacher: ['quantiles.qa_st', 'quantiles.qb_st'],
  autoencoder: ['quantiles.qa_ae', 'quantiles.qb_ae'],
} as const;

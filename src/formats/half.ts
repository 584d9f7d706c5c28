/** IEEE half precision. */

const single = new Float32Array(1);

/** Bits of a half to the number. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** A number (as float32) to the bits of the nearest half, ties to even; what is too large becomes infinite. */
export function floatToHalf(value: number): number {
  single[0] = value;
  const rounded = single[0]!;
  const sign = rounded < 0 || Object.is(rounded, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(rounded);
  if (Number.isNaN(magnitude)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  // A fraction that rounds up to 2048 carries into the exponent by itself.
  return sign | (((exponent + 15) << 10) + roundHalfEven(magnitude * 2 ** (10 - exponent)) - 1024);
}

/** Adding it leaves no bits for fractions, so that the sum is rounded as IEEE arithmetic does. */
const NO_FRACTION = 1.5 * 2 ** 52;

/** Rounds half to even, as IEEE arithmetic and ONNX do. */
export function roundHalfEven(value: number): number {
  return Math.abs(value) < 2 ** 51 ? value + NO_FRACTION - NO_FRACTION : value;
}

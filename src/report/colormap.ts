import { rgb } from 'd3-color';
import { interpolateInferno } from 'd3-scale-chromatic';

/** The color map of all anomaly maps, 256 x RGB: perceptually even and readable without color vision. */
export const INFERNO: Uint8Array = /* @__PURE__ */ table(interpolateInferno);

function table(interpolate: (t: number) => string): Uint8Array {
  const colors = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const { r, g, b } = rgb(interpolate(i / 255));
    colors.set([r, g, b], 3 * i);
  }
  return colors;
}

/** Round tick positions within [low, high]: steps of 1, 2 or 5 times a power of ten, about `wanted` of them. */
export function ticks(low: number, high: number, wanted: number): { readonly value: number; readonly label: string }[] {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) ?? 10) * power;
  const decimals = Math.min(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), 8);
  const result = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) {
    // Adding zero turns a negative zero into a plain one.
    const value = k * step + 0;
    result.push({ value, label: value.toFixed(decimals) });
  }
  return result;
}

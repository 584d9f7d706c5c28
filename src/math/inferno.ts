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

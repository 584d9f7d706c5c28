import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { escaped, printable } from './markup.ts';

const { document } = parseHTML('<!doctype html><html></html>');

/**
 * Draws a plot as self-contained SVG.
 * @param label what it shows, for those who do not see it
 */
export function plotSvg(options: Plot.PlotOptions, label: string): string {
  const svg = Plot.plot({ ...options, document, figure: false }).outerHTML;
  const root = `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escaped(label)}" `;
  return printable(svg).replace(/^<svg /, () => root);
}

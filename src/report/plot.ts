import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { escaped } from './markup.ts';

const { document } = parseHTML('<!doctype html><html></html>');

/**
 * Draws a plot as self-contained SVG.
 * @param label what it shows, for those who do not see it
 * @param style CSS rules of the drawing's own
 */
export function plotSvg(options: Plot.PlotOptions, label: string, style = ''): string {
  const svg = Plot.plot({ ...options, document, figure: false }).outerHTML;
  const root = `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escaped(label)}" `;
  return svg.replace(/^<svg /, () => root).replace('<style>', () => `<style>${style}`);
}

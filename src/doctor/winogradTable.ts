import { makeNode } from '../engine/graph.ts';
import { winogradInputOp, winogradOutputOp, winogradWeightsOp } from '../kernels/winograd.ts';
import { winogradDyOp } from '../kernels/winogradDy.ts';
import { WINOGRAD_TILES } from '../kernels/winogradTiles.ts';
import { type Case, normal as f } from './cases.ts';

/*
 * Winograd's transforms by themselves. 48 or 80 tiles of a channel fill the pitch behind which the next point's begin: what lies
 * between is not written.
 */

const all = Object.entries(WINOGRAD_TILES).flatMap(([k, tiles]) => tiles.map((m) => ({ m, k: Number(k) })));

const transforms = all.flatMap(({ m, k }): Case[] => {
  const points = (m + k - 1) ** 2;
  const about = `F(${m}, ${k})`;
  const plane = { firstRow: 0, rows: 6, tilesY: 3, tilesX: 8 };
  const [height, width] = [3 * m - 1, 8 * m - 1];
  return [
    {
      name: `winogradInput ${about}, padded, two images`,
      inputs: [f(2, 3, height + k - 3, width + k - 3)],
      build: ([x]) => makeNode(winogradInputOp, [x!], { m, k, padding: 1, ...plane }),
      reduction: points,
    },
    {
      name: `winogradInput ${about}, later rows`,
      inputs: [f(1, 5, 12 * m + k - 1, 8 * m + k - 1)],
      build: ([x]) =>
        makeNode(winogradInputOp, [x!], { m, k, padding: 0, firstRow: 2, rows: 10, tilesY: 12, tilesX: 8 }),
      reduction: points,
    },
    {
      name: `winogradWeights ${about}, tiles of 8`,
      inputs: [f(13, 3, k, k)],
      build: ([w]) => makeNode(winogradWeightsOp, [w!], { m, k, tile: 8 }),
      reduction: k * k,
    },
    {
      name: `winogradOutput ${about}, rectified`,
      inputs: [f(5, points, 48), f(5)],
      build: ([products, bias]) =>
        makeNode(winogradOutputOp, [products!, bias!], {
          ...{ m, k, relu: true, pool: false, bias: true, ...plane },
          shape: [2, 5, height, width],
        }),
      reduction: points,
    },
    {
      name: `winogradOutput ${about}, pooled`,
      inputs: [f(3, points, 80)],
      build: ([products]) =>
        makeNode(winogradOutputOp, [products!], {
          ...{ m, k, relu: false, pool: true, bias: false },
          ...{ firstRow: 0, rows: 10, tilesY: 10, tilesX: 8 },
          shape: [1, 3, 5 * m, 4 * m],
        }),
      reduction: points,
    },
  ];
});

/** Weight gradients use the largest tile alone. */
const ofGradients = Object.entries(WINOGRAD_TILES).flatMap(([size, tiles]): Case[] => {
  const [m, k] = [tiles[0]!, Number(size)];
  const points = (m + k - 1) ** 2;
  const about = `F(${m}, ${k})`;
  const [height, width] = [3 * m - 1, 8 * m - 1];
  return [
    {
      name: `winogradDy ${about}, tiles of 4`,
      inputs: [f(2, 6, height, width)],
      build: ([dy]) => makeNode(winogradDyOp, [dy!], { m, k, tile: 4, tilesY: 3, tilesX: 8 }),
      reduction: points,
    },
    {
      name: `winogradDy ${about}, flat`,
      inputs: [f(2, 3, height, width)],
      build: ([dy]) => makeNode(winogradDyOp, [dy!], { m, k, tile: 0, tilesY: 3, tilesX: 8 }),
      reduction: points,
    },
  ];
});

export const winogradTable: readonly Case[] = [...transforms, ...ofGradients];

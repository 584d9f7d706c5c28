import blockLanes from '../../shaders/snippets/blockLanes.wgsl';
import blockLoads from '../../shaders/snippets/blockLoads.wgsl';
import blockPixels from '../../shaders/snippets/blockPixels.wgsl';
import dot4 from '../../shaders/snippets/dot4.wgsl';
import grid from '../../shaders/snippets/grid.wgsl';
import halves from '../../shaders/snippets/halves.wgsl';
import pixel from '../../shaders/snippets/pixel.wgsl';
import qbindings from '../../shaders/snippets/qbindings.wgsl';
import qconv2d from '../../shaders/snippets/qconv2d.wgsl';
import qload from '../../shaders/snippets/qload.wgsl';
import qresult from '../../shaders/snippets/qresult.wgsl';
import qstore from '../../shaders/snippets/qstore.wgsl';
import qweights from '../../shaders/snippets/qweights.wgsl';
import random from '../../shaders/snippets/random.wgsl';
import sortable from '../../shaders/snippets/sortable.wgsl';
import winograd from '../../shaders/snippets/winograd.wgsl';
import winogradIntegers from '../../shaders/snippets/winogradIntegers.wgsl';
import winogradPairs from '../../shaders/snippets/winogradPairs.wgsl';
import winogradSums from '../../shaders/snippets/winogradSums.wgsl';
import winogradTile from '../../shaders/snippets/winogradTile.wgsl';
import winogradTransforms from '../../shaders/snippets/winogradTransforms.wgsl';
import workgroup from '../../shaders/snippets/workgroup.wgsl';
import type { ShaderSource } from './shaderText.ts';

/** Shared shader text, by the name that `#include` uses. */
export const snippets: Readonly<Record<string, ShaderSource>> = {
  blockLanes,
  blockLoads,
  blockPixels,
  dot4,
  grid,
  halves,
  pixel,
  qbindings,
  qconv2d,
  qload,
  qresult,
  qstore,
  qweights,
  random,
  sortable,
  winograd,
  winogradIntegers,
  winogradPairs,
  winogradSums,
  winogradTile,
  winogradTransforms,
  workgroup,
};

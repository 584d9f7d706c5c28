import grid from '../../shaders/snippets/grid.wgsl';
import pixel from '../../shaders/snippets/pixel.wgsl';
import random from '../../shaders/snippets/random.wgsl';
import sortable from '../../shaders/snippets/sortable.wgsl';
import winograd from '../../shaders/snippets/winograd.wgsl';

/** Shared shader text, by the name that `#include` uses. */
export const snippets: Readonly<Record<string, string>> = { grid, pixel, random, sortable, winograd };

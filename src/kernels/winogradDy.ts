import dyShader from '../../shaders/winograd_dy.wgsl';
import { deferred } from '../engine/deferred.ts';
import { type Op, u32 } from '../engine/graph.ts';
import { nchw } from './common.ts';
import { channelsPerInvocation, type DyAttrs, pitch, transformWorkgroup } from './winogradTiles.ts';

const definitions = deferred(() => import('./winogradReferences.ts'));

/**
 * dy [N, CO, OH, OW] as m x m taps -> [(m + k - 1)^2, ceil(CO / tile), N * tilesY * tilesX, tile], or without `tile`
 * [CO, (m + k - 1)^2, pitch(N * tilesY * tilesX)]
 */
export const winogradDyOp: Op<DyAttrs, readonly ['f32']> = {
  name: 'winogradDy',
  infer([dy], { m, k, tile, tilesY, tilesX }) {
    const [n, co] = nchw(dy);
    if (tile === 0) return { shape: [co, (m + k - 1) ** 2, pitch(n * tilesY * tilesX)], dtype: 'f32' };
    return { shape: [(m + k - 1) ** 2, Math.ceil(co / tile), n * tilesY * tilesX, tile], dtype: 'f32' };
  },
  reference: (inputs, node) => definitions().winogradDyReference(inputs, node),
  variants: [
    {
      name: 'tile',
      kernel(node, caps) {
        const { m, k, tile, tilesY, tilesX } = node.attrs;
        const [n, channels, height, width] = nchw(node.inputs[0].type);
        const workgroup = transformWorkgroup(caps);
        const isFlat = tile === 0;
        const channelTiles = isFlat ? channels : Math.ceil(channels / tile);
        const written = isFlat ? channels : channelTiles * tile;
        const tiles = n * tilesY * tilesX;
        const across = Math.ceil(tiles / workgroup);
        const each = channelsPerInvocation(caps, across, written);
        return {
          shader: { name: 'winograd_dy.wgsl', source: dyShader },
          // The taps are the m x m tiles of dy; the outputs of this filter are the k x k weights.
          defines: {
            A: m + k - 1,
            K: m,
            M: k,
            MT: tile,
            FLAT: Number(isFlat),
            CHANNELS: each,
            WORKGROUP: workgroup,
          },
          params: {
            channels: u32(channels),
            channelTiles: u32(channelTiles),
            height: u32(height),
            width: u32(width),
            tiles: u32(tiles),
            tilesY: u32(tilesY),
            tilesX: u32(tilesX),
            ...(isFlat && { pitch: u32(pitch(tiles)) }),
          },
          grid: [across, Math.ceil(written / each)],
        };
      },
    },
  ],
};

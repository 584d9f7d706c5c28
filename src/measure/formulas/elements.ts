import { size } from '../../engine/graph.ts';
import { nchw } from '../../kernels/common.ts';
import { ADDRESS, DIVISION, type Formula, IN_FLIGHT, inside, perElement, planes, SETUP, written } from './formula.ts';

/** Operations by element, sums and distances. */
export const ELEMENTS: Readonly<Record<string, Formula>> = {
  'pad2d.wgsl'(dispatched) {
    const { node, get } = dispatched;
    const [, , height, width] = nchw(node.type);
    const rows = inside(height, get('top'), get('height'), get('DILATION'));
    const columns = inside(width, get('left'), get('width'), get('DILATION'));
    return perElement(dispatched, { loads: planes(node) * rows * columns }, 2 * ADDRESS);
  },
  'avg_pool2d.wgsl'(dispatched) {
    const { node, get } = dispatched;
    const [, , height, width] = nchw(node.type);
    const padding = get('PADDING');
    const covered = (out: number, length: number) =>
      [0, 1].reduce(
        (sum, d) => sum + written(out, 1, length, (i) => (2 * i + d < padding ? length : 2 * i + d - padding)),
        0,
      );
    const loads = planes(node) * covered(height, get('height')) * covered(width, get('width'));
    return perElement(dispatched, { loads }, 2 * ADDRESS + 8);
  },
  'resize_bilinear.wgsl': (dispatched) => perElement(dispatched, { loads: 4 * size(dispatched.node.type) }, 50),
  'image_to_tensor.wgsl'(dispatched) {
    // What a color change reads depends on its kind.
    if (dispatched.get('ADJUST')) return undefined;
    return perElement(dispatched, { loads: dispatched.get('size'), stores: 3 * dispatched.get('size') }, DIVISION + 40);
  },
  'standardize.wgsl': (dispatched) =>
    perElement(dispatched, { loads: 3 * size(dispatched.node.type) }, 2 * DIVISION + ADDRESS),
  'map_combine.wgsl'(dispatched) {
    const pixels = dispatched.get('size');
    return perElement(dispatched, { loads: 8 * pixels, stores: (1 + 2 * dispatched.get('STACKED')) * pixels }, 30);
  },
  'fold_splits.wgsl'({ node, workgroups, get }) {
    const [SL, PER, splits, invocations] = [get('SL'), get('PER'), get('splits'), get('WORKGROUP')];
    const stores = size(node.type);
    // Invocations behind the last output add what it adds.
    const outputs = (workgroups * invocations) / SL;
    const loads = splits * outputs;
    const shared = SL > 1 ? workgroups * invocations : 0;
    return {
      invocations,
      loads,
      stores,
      workgroupReads: (shared / SL) * (SL - 1),
      workgroupWrites: shared,
      workgroupBytes: 8 * shared,
      workgroupMemory: SL > 1 ? 4 * invocations : 0,
      otherInstructions: workgroups * invocations * SETUP + 3 * loads + shared,
      steps: Math.ceil(PER / IN_FLIGHT),
    };
  },
  'sum_workgroup.wgsl'({ node, workgroups, get }) {
    const [outer, keep, inner, chunks, perChunk] = ['outer', 'keep', 'inner', 'chunks', 'perChunk'].map(get) as [
      number,
      number,
      number,
      number,
      number,
    ];
    // A turn is four loads of every invocation that has a first one.
    const loadsOf = (length: number) => 4 * (256 * Math.floor(length / 1024) + Math.min(length % 1024, 256));
    const lastChunk = inner - (chunks - 1) * perChunk;
    const loads = outer * keep * ((chunks - 1) * loadsOf(perChunk) + loadsOf(lastChunk));
    const shared = workgroups * 256;
    return {
      invocations: 256,
      loads,
      stores: size(node.type),
      // A tree of 255 sums of two values; the last one is read again.
      workgroupReads: workgroups * (2 * 255 + 1),
      workgroupWrites: shared + workgroups * 255,
      workgroupBytes: 4 * workgroups * (4 * 255 + 256),
      workgroupMemory: 1024,
      otherInstructions: workgroups * 256 * (SETUP + 8 * 6) + 5 * loads,
      steps: outer * Math.ceil(perChunk / 1024) + 1,
    };
  },
  'sum_axes.wgsl'(dispatched) {
    const [outer, keep, inner, chunks] = ['outer', 'keep', 'inner', 'chunks'].map(dispatched.get) as [
      number,
      number,
      number,
      number,
    ];
    const each = outer * Math.ceil(inner / chunks);
    const loads = outer * keep * inner;
    return perElement(dispatched, { loads, steps: Math.ceil(each / IN_FLIGHT) }, 2 * DIVISION + 4 * each);
  },
  'channel_distance_shared.wgsl'({ node, workgroups, get }) {
    const [SLOTS, invocations, SETS, STACKED] = [get('SLOTS'), get('WORKGROUP'), get('SETS'), get('STACKED')];
    const standardized = get('STANDARDIZED0') + get('STANDARDIZED1');
    const tensors = SETS + get('TARGET0') + get('TARGET1');
    // The last workgroup computes whole pixels, too.
    const pixels = (workgroups * invocations) / SLOTS;
    const values = get('channels') * pixels;
    const stores = size(node.type);
    const written = get('size');
    // Quantiles, and the other map where it is there.
    const ends = STACKED * (SETS === 2 ? 6 : 7) * written;
    return {
      invocations,
      loads: values * (tensors + 2 * standardized) + ends,
      stores,
      workgroupReads: SETS * SLOTS * written,
      workgroupWrites: SETS * workgroups * invocations,
      workgroupBytes: 4 * SETS * (SLOTS * written + workgroups * invocations),
      otherInstructions:
        workgroups * invocations * (SETUP + DIVISION + 20 * STACKED) +
        2 * SETS * SLOTS * written +
        values * (2 * SETS + 2 * tensors + standardized * (4 + DIVISION)),
      steps: Math.ceil(get('channels') / SLOTS / IN_FLIGHT),
      workgroupMemory: 4 * invocations,
    };
  },
  'channel_distance.wgsl'(dispatched) {
    const { node, get } = dispatched;
    const each = 1 + get('TARGET');
    const loads = each * get('channels') * size(node.type);
    const instructions = DIVISION + get('channels') * (2 + 2 * each);
    return perElement(dispatched, { loads, steps: Math.ceil(get('channels') / IN_FLIGHT) }, instructions);
  },
  'slice_outer.wgsl'(dispatched) {
    if (dispatched.get('EMBED')) return undefined;
    return perElement(dispatched, { loads: size(dispatched.node.type) }, ADDRESS);
  },
  'concat_outer.wgsl': (dispatched) => perElement(dispatched, { loads: size(dispatched.node.type) }, ADDRESS),
};

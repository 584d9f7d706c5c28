import { expect, onTestFinished } from 'vitest';
import type { RgbImage } from '../../src/data/image.ts';
import { Detector } from '../../src/detector/detector.ts';
import type { DetectorState } from '../../src/detector/detectorState.ts';
import { tilingOf } from '../../src/detector/tiledChain.ts';
import { MemoryBank } from '../../src/networks/memoryBank.ts';
import { Networks } from '../../src/networks/networks.ts';
import type { Padding } from '../../src/networks/pdn.ts';
import { engine } from './gpu.ts';
import { untrainedDetector } from './untrained.ts';

export const gpu = await engine();
const untrained = await untrainedDetector();
export const SIZE = { width: 307, height: 213 };

/** A picture of nothing in particular, whose neighbors differ. */
export function picture(width: number, height: number, seed = 1): RgbImage {
  const byte = (i: number) => {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    return 128 + 70 * Math.sin((x * seed) / (7 + c)) + 40 * Math.cos(y / (5 + 2 * c)) + 15 * Math.sin((x * y) / 97);
  };
  return { width, height, data: Uint8Array.from({ length: 3 * width * height }, (_, i) => byte(i)) };
}

/** The untrained detector, with another border, or a memory bank of some of the teacher's filters. */
export function networksOf(padding: Padding, hasBank = false): Networks {
  const made = new Networks('xs', 128, padding, hasBank ? (channels) => new MemoryBank(64, channels) : undefined);
  made.teacher.parameters.forEach((parameter, i) => {
    parameter.data = untrained.networks.teacher.parameters[i]!.data;
  });
  if (!hasBank) made.initialize(3);
  else {
    const { weight } = made.bank!.convolution;
    weight.data = Float32Array.from({ length: 64 * 128 }, (_, i) => Math.sin(i * i));
    made.bank!.settle();
  }
  return made;
}

export function stateOf(networks: Networks, size = SIZE): DetectorState {
  return { ...untrained, networks, tiling: tilingOf(size, networks) };
}

export function detectorOf(state: DetectorState): Detector {
  const detector = new Detector(gpu, state);
  onTestFinished(() => detector.destroy());
  return detector;
}

/** Largest difference as a share of the largest value. */
export function error(ours: Float32Array, theirs: Float32Array): number {
  expect(ours).toHaveLength(theirs.length);
  const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest(ours.map((value, i) => value - theirs[i]!)) / largest(theirs);
}

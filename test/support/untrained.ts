import type { DetectorState } from '../../src/detector/detectorState.ts';
import { Networks } from '../../src/networks/networks.ts';
import type { Padding } from '../../src/networks/pdn.ts';
import { readTeacher } from '../../src/node/teachers.ts';
import { loadTeacher } from '../../src/train/teacher.ts';

/** An untrained detector: the shipped teacher, random student and autoencoder. */
export async function untrainedDetector(padding?: Padding): Promise<DetectorState> {
  const networks = new Networks('xs', 128, padding);
  const teacher = await readTeacher('xs');
  loadTeacher(networks, teacher, teacher.name);
  networks.initialize(3);
  return {
    networks,
    quantiles: { studentTeacher: [0.5, 2], autoencoder: [0.01, 0.5] },
    placement: 'exact',
    threshold: { value: 0.1, alpha: 0.01, promised: 0.01, images: 120 },
    provenance: {
      dataset: 'none',
      seed: 3,
      iterations: 0,
      batch: 1,
      learningRate: 0,
      teacher: 'xs',
      penalty: 'none',
      trainImages: 0,
      heldOutImages: 0,
    },
  };
}

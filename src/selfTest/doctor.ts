import { type DoctorOptions, type DoctorReport, doctor as examine } from '../doctor/doctor.ts';
import type { Engine } from '../engine/engine.ts';
import golden from './golden.json' with { type: 'json' };
import { runInferenceSmoke, runTrainingSmoke } from './smoke.ts';
import { detectorTable } from './table.ts';

/**
 * The doctor of a detector: every variant of every op against its float64 reference, then an inference and a training step against
 * golden values. What is wrong is named; give {@link DoctorReport.excluded} to engines on this adapter.
 * @param engine exclusions and tuning of it are not used
 * @throws UserError for an op that the table does not have
 * @throws DeviceLostError
 */
export function doctor(engine: Engine, options: DoctorOptions = {}): Promise<DoctorReport> {
  return examine(engine, options, {
    table: detectorTable,
    smokeTests: [
      { name: 'inference', run: (own) => runInferenceSmoke(own, golden) },
      { name: 'training step', run: (own) => runTrainingSmoke(own, golden) },
    ],
  });
}

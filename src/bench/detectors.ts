import type { Detector } from '../detector/detector.ts';
import type { Engine } from '../engine/engine.ts';
import { spin } from '../engine/sample.ts';
import type { Tuning } from '../engine/tuning.ts';
import type { Precision } from '../engine/variants.ts';
import { type MeasureOptions, measure, type Timing, WARM_UP } from '../measure/measure.ts';
import type { Networks } from '../networks/networks.ts';

/** What the time of a detector is kept under. @param kind `float`, `w8a8`, ... */
export function detectorName({ size, side }: Pick<Networks, 'size' | 'side'>, batch: number, kind: string): string {
  return `detector ${size} ${side} px x ${batch} ${kind}`;
}

/**
 * Times whole detectors, image on the host to map on the host, in turns, with the variants that were chosen, and keeps the
 * medians: so it is known whether integers are faster than floats here.
 */
export async function timeDetectors(
  engine: Engine,
  detectors: readonly { readonly name: string; readonly detector: Detector; readonly precision?: Precision }[],
  batch: number,
  tuning: Tuning,
  options: MeasureOptions,
): Promise<Timing[]> {
  const cases = await Promise.all(
    detectors.map(async ({ name, detector, precision = 'f32' }) => {
      const { combined } = detector.fusedGraph(batch);
      const plan = await engine.compile({ outputs: { combined }, tuning, precision });
      return { name, plan, run: () => plan.run({}, ['combined']) };
    }),
  );
  try {
    await spin(engine, WARM_UP);
    const timings = await measure(cases, options);
    for (const { name, median } of timings) tuning.setTime(name, median);
    return timings;
  } finally {
    for (const { plan } of cases) plan.destroy();
  }
}

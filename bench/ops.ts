/**
 * Times every variant of the ops on the shapes that the test table marks for it, through benny.
 *
 *   npm run bench -- [part of a case's name]
 */
import benny from 'benny';
import { randomValues, toHost } from '../src/doctor/values.ts';
import { Engine } from '../src/engine/engine.ts';
import { input } from '../src/engine/graph.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { openDevice } from '../src/node/device.ts';
import { detectorTable as table } from '../src/selfTest/table.ts';

const wanted = process.argv[2] ?? '';
const opened = await openDevice();
const engine = new Engine({ device: opened.device });
console.log(`adapter: ${opened.adapter.name}`);

for (const row of table.filter(({ perf, name }) => perf && name.includes(wanted))) {
  const inputs = row.inputs.map((spec, i) => input(`in${i}`, spec.shape, spec.dtype ?? 'f32'));
  const output = row.build(inputs);
  const flops = output.op.cost?.(output).flops ?? 0;
  const variants = supportedVariants(output, engine);
  const cases = await Promise.all(
    variants.map(async ({ name }) => {
      const plan = await engine.compile({ outputs: { y: output }, variants: { [output.op.name]: name } });
      inputs.forEach((node, i) => {
        plan.write(`in${i}`, toHost(randomValues(node, row.inputs[i]!.fill ?? 'normal', i)));
      });
      const run = async () => {
        await plan.run();
        await engine.device.queue.onSubmittedWorkDone();
      };
      await run();
      return { name, plan, run };
    }),
  );
  const summary = await benny.suite(
    row.name,
    ...cases.map(({ name, run }) => benny.add(name, run, { minSamples: 5, maxTime: 1 })),
    benny.cycle(),
    benny.complete(),
  );
  for (const { name, details } of summary.results) {
    if (flops > 0) console.log(`    ${name}: ${(flops / details.median / 1e9).toFixed(1)} GFLOP/s (median)`);
  }
  for (const { plan } of cases) plan.destroy();
}
opened.close();

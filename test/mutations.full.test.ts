import { expect, test } from 'vitest';
import { judge, mixedDetector, subjectOf, Tally } from './support/modelFiles.ts';
import { Mutator } from './support/mutations.ts';
import { untrainedDetector } from './support/untrained.ts';

const MUTATIONS = 100_000;
/** Every so many mutations one is of the float file, which is the larger one. */
const FLOAT_EVERY = 16;
/** Share of them that change tensors, which takes hashes and decoding. */
const BODY_SHARE = 0.05;
/** Of so many seeds one has its file, if it is accepted, written and read once more. */
const REWRITE_EVERY = 16;

test('100,000 mutations of model files', { timeout: 3_600_000 }, async () => {
  const subjects = await Promise.all(
    [untrainedDetector(), mixedDetector()].map(async (state) => subjectOf(await state)),
  );
  const [float, mixed] = subjects.map((subject) => ({ subject, mutator: new Mutator(subject.bytes) }));
  const tally = new Tally();
  const began = performance.now();
  const cpu = process.cpuUsage();
  for (let seed = 0; seed < MUTATIONS; seed++) {
    const { subject, mutator } = seed % FLOAT_EVERY === 0 ? float! : mixed!;
    tally.add(await judge(subject, await mutator.make(seed, BODY_SHARE), seed % REWRITE_EVERY === 0));
  }
  const { user, system } = process.cpuUsage(cpu);
  const [wall, busy] = [(performance.now() - began) / 1e3, (user + system) / 1e6].map((s) => s.toFixed(0));
  console.log(`${MUTATIONS} mutations in ${wall} s (${busy} s of processor time), ${tally}`);
  expect([...tally.counts.values()].reduce((sum, count) => sum + count)).toBe(MUTATIONS);
  expect(tally.counts.get('same')).toBeGreaterThan(0);
  expect(tally.counts.get('other')).toBeGreaterThan(0);
});

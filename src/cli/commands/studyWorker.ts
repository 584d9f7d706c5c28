import { hostname } from 'node:os';
import type { LeftOut } from '../../data/dataset.ts';
import { UserError } from '../../errors.ts';
import { namedSets, openStudySets, studyDigest } from '../../node/study.ts';
import { openStudyQueue, type StudyTask } from '../../node/studyQueue.ts';
import { ownVersion } from '../../node/version.ts';
import { cellId } from '../../study/cells.ts';
import type { StudyStore } from '../../study/options.ts';
import type { StudyRunner } from '../../study/runner.ts';
import { photographPenalty } from '../../train/penalty.ts';
import { type Arguments, UsageError, wholeNumber } from '../arguments.ts';
import { announceDatasets } from '../datasets.ts';
import { findPhotographs, loadPhotographs } from '../penalty.ts';
import { say } from '../print.ts';
import { printCell, studyOpener, studyRunner } from '../studyOptions.ts';
import { notice, withEngine } from '../withEngine.ts';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const url = args.text('redis');
  if (!url || args.positionals.length === 0)
    throw new UsageError('study-worker needs a data set and --redis.', 'raad study-worker DATA... --redis URL');
  const lease = wholeNumber(args, 'lease', 60, 1);
  const between: LeftOut[] = [];
  const sets = await openStudySets(args.positionals, between);
  await announceDatasets(namedSets(sets), { isEvaluated: true, between, signal });
  const photographs = await loadPhotographs(await findPhotographs(args));
  const queue = await openStudyQueue({
    url,
    name: args.text('name') ?? 'study',
    version: await ownVersion(),
    onNotice: notice,
  });
  try {
    await withEngine(args, async (engine) => {
      const penalty = photographs && photographPenalty(engine, photographs, photographs.name);
      const digests = new Map<string, string>();
      let current: { readonly study: string; readonly runner: StudyRunner } | undefined;
      const runnerOf = async ({ study, settings }: StudyTask, store: StudyStore) => {
        if (current?.study === study) return current.runner;
        current?.runner.destroy();
        current = {
          study,
          runner: await studyRunner({ engine, open: studyOpener(sets), settings, penalty, store, signal }),
        };
        return current.runner;
      };
      try {
        await queue.work({
          worker: `${hostname()} (${process.pid})`,
          lease,
          signal,
          onTask: ({ set, seed, cell }) => say(cell ? cellId(cell) : `${set}/${seed}: the checkpoint`),
          handler: {
            async refusal(task) {
              const set = sets.find(({ name }) => name === task.set);
              if (!set) return 'it was not given this data set.';
              if (photographs?.digest !== task.penalty.digest)
                return `its penalty images are not the study's (${task.penalty.name}).`;
              try {
                if (!digests.has(set.name)) digests.set(set.name, await studyDigest(set, notice));
              } catch (error) {
                if (error instanceof UserError) return error.message;
                throw error;
              }
              return digests.get(set.name) === task.digest ? undefined : "its images are not the coordinator's.";
            },
            async prepare(task, store) {
              await (await runnerOf(task, store)).prepare(task.set, task.seed, task.arms);
            },
            async run(cell, task, store) {
              const result = await (await runnerOf(task, store)).run(cell);
              printCell(result);
              return result;
            },
          },
        });
      } finally {
        current?.runner.destroy();
        penalty?.destroy();
      }
    });
  } finally {
    await queue.close();
  }
}

import { openStudyQueue } from '../../src/node/studyQueue.ts';
import { fakeResult } from './fakeCells.ts';

/** A worker whose event loop stands still during its first cell: node queueWorker.mjs URL NAME SECONDS */
const [, , url, name, seconds] = process.argv;
const queue = await openStudyQueue({ url: url!, name: name!, version: 'test', onNotice: console.error });
let wait = 1000 * Number(seconds);
await queue.work({
  worker: 'still',
  signal: new AbortController().signal,
  lease: 1,
  handler: {
    refusal: async () => undefined,
    prepare: async () => {},
    async run(cell) {
      process.stderr.write('in work\n');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, wait);
      wait = 0;
      return fakeResult(cell, 'late');
    },
  },
});

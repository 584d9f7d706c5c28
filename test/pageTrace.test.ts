import { expect, test } from 'vitest';
import { scriptTasks, type TraceEvent } from '../bench/page/trace.ts';

const RENDERER = { pid: 1, tid: 2 };
const task = (ts: number, dur: number, tdur: number): TraceEvent => ({
  name: 'RunTask',
  ph: 'X',
  ...RENDERER,
  ts,
  dur,
  tdur,
});
const node = (id: number, functionName: string, url = '') => ({ id, callFrame: { functionName, url } });

test('tasks of the main thread with functions of the page, longest first', () => {
  const own = 'http://127.0.0.1:8421/main.js';
  const events: TraceEvent[] = [
    { name: 'thread_name', ph: 'M', ...RENDERER, ts: 0, args: { name: 'CrRendererMain' } },
    { name: 'thread_name', ph: 'M', pid: 1, tid: 9, ts: 0, args: { name: 'Compositor' } },
    task(1000, 10_000, 8000),
    task(20_000, 40_000, 30_000),
    // Somebody else's script, and another thread.
    task(70_000, 90_000, 90_000),
    { ...task(20_000, 99_000, 99_000), tid: 9 },
    { name: 'Profile', ph: 'P', pid: 1, tid: 5, ts: 0, id: '0x1', args: { data: { startTime: 0 } } },
    {
      name: 'ProfileChunk',
      ph: 'P',
      pid: 1,
      tid: 5,
      ts: 0,
      id: '0x1',
      args: {
        data: {
          cpuProfile: {
            nodes: [node(1, '(program)'), node(2, 'expand', own), node(3, 'draw', own), node(4, 'query')],
            samples: [2, 1, 3, 2, 4],
          },
          timeDeltas: [5000, 10_000, 10_000, 30_000, 20_000],
        },
      },
    },
  ];
  expect(scriptTasks(events)).toEqual([
    {
      milliseconds: 40,
      threadMilliseconds: 30,
      own: 40,
      hottest: [
        { name: 'expand', milliseconds: 30 },
        { name: 'draw', milliseconds: 10 },
      ],
    },
    { milliseconds: 10, threadMilliseconds: 8, own: 5, hottest: [{ name: 'expand', milliseconds: 5 }] },
  ]);
  expect(scriptTasks([])).toEqual([]);
});

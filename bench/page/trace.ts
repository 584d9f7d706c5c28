/** What Chromium's trace says about the main thread of a page. */

/** An event of the trace format, times in microseconds. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly id?: string;
  readonly args?: {
    readonly name?: string;
    readonly data?: ProfileChunk & { readonly startTime?: number };
  };
}

interface ProfileChunk {
  readonly cpuProfile?: {
    readonly nodes?: readonly {
      readonly id: number;
      readonly parent?: number;
      readonly callFrame: { readonly functionName: string; readonly url?: string };
    }[];
    readonly samples?: readonly number[];
  };
  readonly timeDeltas?: readonly number[];
}

/** A task of the event loop in which JavaScript ran. Milliseconds. */
export interface Task {
  /** From its begin to its end. */
  readonly milliseconds: number;
  /** Of those, what the operating system gave to the thread. */
  readonly threadMilliseconds: number;
  /** Of those, what the profiler saw in functions of the page. */
  readonly own: number;
  /** Functions with the most samples of their own in it. */
  readonly hottest: readonly { readonly name: string; readonly milliseconds: number }[];
}

/** What is recorded. */
export const CATEGORIES = [
  'devtools.timeline',
  'disabled-by-default-devtools.timeline',
  'disabled-by-default-v8.cpu_profiler',
];

const MAIN_THREAD = 'CrRendererMain';
/** What the profiler calls time outside of functions. */
const OUTSIDE = new Set(['(idle)', '(program)', '(root)']);
/** Less of the page's own functions is a callback that has nothing to do, or somebody else's task; milliseconds. */
const LEAST_OWN = 0.5;
const HOTTEST = 5;

/** The tasks of the page's main thread that ran JavaScript, longest first. */
export function scriptTasks(events: readonly TraceEvent[]): Task[] {
  const samples = profileSamples(events);
  const pid = samples[0]?.pid;
  const main = events.find(
    (event) => event.name === 'thread_name' && event.pid === pid && event.args?.name === MAIN_THREAD,
  );
  const isTask = ({ ph, name, tid }: TraceEvent) => ph === 'X' && name === 'RunTask' && tid === main?.tid;
  return events
    .filter((event) => event.pid === pid && isTask(event))
    .map((task) => {
      const { dur = 0, tdur = dur } = task;
      const { times, own } = functionTimes(samples, task.ts, task.ts + dur);
      return { milliseconds: dur / 1000, threadMilliseconds: tdur / 1000, own, hottest: times.slice(0, HOTTEST) };
    })
    .filter(({ own }) => own >= LEAST_OWN)
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

interface Sample {
  readonly pid: number;
  readonly at: number;
  readonly microseconds: number;
  readonly name: string;
  /** Whether it is a function of a file, not of the browser or of who drives it. */
  readonly isOwn: boolean;
}

/** When which function ran, by the sampling profiler, in the order of time; of the process with the most samples. */
function profileSamples(events: readonly TraceEvent[]): Sample[] {
  const profiles = new Map<string, TraceEvent[]>();
  for (const event of events) {
    if (event.name !== 'Profile' && event.name !== 'ProfileChunk') continue;
    const key = `${event.pid}/${event.id}`;
    profiles.set(key, [...(profiles.get(key) ?? []), event]);
  }
  const all = [...profiles.values()].map(samplesOf).sort((a, b) => b.length - a.length);
  return (all[0] ?? []).sort((a, b) => a.at - b.at);
}

function samplesOf(chunks: readonly TraceEvent[]): Sample[] {
  const samples: Sample[] = [];
  const names = new Map<number, Pick<Sample, 'name' | 'isOwn'>>();
  let at = chunks.find(({ name }) => name === 'Profile')?.args?.data?.startTime ?? 0;
  for (const { pid, args } of chunks) {
    const { cpuProfile, timeDeltas = [] } = args?.data ?? {};
    for (const { id, callFrame } of cpuProfile?.nodes ?? [])
      names.set(id, { name: callFrame.functionName || '(anonymous)', isOwn: /^https?:/.test(callFrame.url ?? '') });
    for (const [i, node] of (cpuProfile?.samples ?? []).entries()) {
      const microseconds = timeDeltas[i] ?? 0;
      at += microseconds;
      samples.push({ pid, at, microseconds, ...(names.get(node) ?? { name: '', isOwn: false }) });
    }
  }
  return samples;
}

/** Milliseconds in each function within a stretch, the most first, and in all of the page's own. */
function functionTimes(samples: readonly Sample[], from: number, to: number) {
  const byName = new Map<string, number>();
  let own = 0;
  let [low, high] = [0, samples.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (samples[middle]!.at < from) low = middle + 1;
    else high = middle;
  }
  for (let i = low; i < samples.length && samples[i]!.at <= to; i++) {
    const { microseconds, name, isOwn } = samples[i]!;
    if (OUTSIDE.has(name)) continue;
    byName.set(name, (byName.get(name) ?? 0) + microseconds / 1000);
    if (isOwn) own += microseconds / 1000;
  }
  const times = [...byName].map(([name, milliseconds]) => ({ name, milliseconds }));
  return { times: times.sort((a, b) => b.milliseconds - a.milliseconds), own };
}

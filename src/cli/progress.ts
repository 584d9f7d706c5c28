import { Presets, SingleBar } from 'cli-progress';
import { visible } from '../report/markup.ts';
import { say } from './print.ts';

/** A bar on a terminal, a plain line now and then otherwise. Both go to stderr, results to stdout. */
export interface Progress {
  /** @param note shown behind the numbers, such as losses */
  update(done: number, note?: string): void;
  /** Ends it; a bar that is not full stays as it is. */
  stop(): void;
}

/** Plain lines at most this often, milliseconds. */
const LINE_INTERVAL = 10_000;

export function startProgress(label: string, total: number, unit: string): Progress {
  return process.stderr.isTTY ? bar(label, total, unit) : lines(label, total, unit);
}

function bar(label: string, total: number, unit: string): Progress {
  const single = new SingleBar(
    {
      stream: process.stderr,
      format: `{label} [{bar}] {value}/{total} ${unit} {rate}/s, {left} left {note}`,
      hideCursor: false,
      etaBuffer: 50,
    },
    Presets.rect,
  );
  const clock = new Clock(total);
  single.start(total, 0, { label: visible(label), rate: '-', left: '-', note: '' });
  return {
    update(done, note = '') {
      single.update(done, { ...clock.at(done), note: visible(note) });
    },
    stop: () => single.stop(),
  };
}

function lines(label: string, total: number, unit: string): Progress {
  const clock = new Clock(total);
  let printed = Number.NEGATIVE_INFINITY;
  return {
    update(done, note = '') {
      const now = performance.now();
      if (done < total && now - printed < LINE_INTERVAL) return;
      printed = now;
      const { rate, left } = clock.at(done);
      say(`${label}: ${done}/${total} ${unit}, ${rate}/s, ${left} left${note && `, ${note}`}`);
    },
    stop() {},
  };
}

/** Rate and remaining time from what was done since the first report, so that a resumed run does not count its past. */
class Clock {
  readonly #total: number;
  #first: { done: number; at: number } | undefined;

  constructor(total: number) {
    this.#total = total;
  }

  at(done: number): { rate: string; left: string } {
    const now = performance.now();
    this.#first ??= { done, at: now };
    const rate = ((done - this.#first.done) * 1000) / (now - this.#first.at);
    if (!(rate > 0) || !Number.isFinite(rate)) return { rate: '-', left: done >= this.#total ? '0 s' : '-' };
    return { rate: rate.toPrecision(3), left: formatSeconds((this.#total - done) / rate) };
  }
}

/** `42 s`, `3:20 min`, `1:05 h` */
export function formatSeconds(seconds: number): string {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  const two = (value: number) => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(Math.floor(seconds % 60))} min`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)} h`;
}

import type { Engine } from '../src/engine/engine.ts';
import { DeviceLostError } from '../src/engine/errors.ts';
import type { FitProgress } from '../src/train/fit.ts';
import type { TrainingControl } from '../src/train/trainingLoop.ts';
import { engine } from './device.ts';
import { aboutTime } from './duration.ts';
import type { TaskControl } from './task.ts';

/** Mean losses since the last call. */
export type OnLosses = (step: number, losses: NonNullable<FitProgress['losses']>) => void;

/** Where training goes on from, and where that is kept. */
export interface Kept {
  readonly checkpoint: Uint8Array | undefined;
  save(checkpoint: Uint8Array): Promise<void>;
}

/** What `fit` and `recalibrate` take of it. */
type Attempt = Pick<TrainingControl, 'checkpoint'> & { readonly resume?: Uint8Array };

/** A closed tab has lost a tenth of the steps at most, and no more than so many. */
const CHECKPOINT_STEPS = 50;
const CHECKPOINTS = 10;

/** Lost devices in a row, without a checkpoint between them, after which the page asks. */
const MOST_LOSSES = 3;

/**
 * Trains on the page's engine from the last checkpoint. A lost device is replaced, and training goes on there.
 * @param kept of this training; without it, checkpoints last as long as the call
 */
export async function goOn<T>(
  { iterations, kept, signal }: { readonly iterations: number; readonly kept?: Kept; readonly signal: AbortSignal },
  attempt: (engine: Engine, from: Attempt) => Promise<T>,
): Promise<T> {
  let resume = kept?.checkpoint;
  let losses = 0;
  const checkpoint = {
    every: Math.min(CHECKPOINT_STEPS, Math.ceil(iterations / CHECKPOINTS)),
    async save(bytes: Uint8Array) {
      losses = 0;
      resume = bytes;
      await kept?.save(bytes);
    },
  };
  for (;;) {
    try {
      return await attempt(await engine(), { checkpoint, ...(resume && { resume }) });
    } catch (error) {
      if (!(error instanceof DeviceLostError) || ++losses === MOST_LOSSES) throw error;
      signal.throwIfAborted();
    }
  }
}

/** Shows the reports of a training, with the time that its steps will take. */
export function reporter<Phase extends string>(
  phases: Readonly<Record<Phase, string>>,
  { progress }: TaskControl,
  onLosses?: OnLosses,
): (report: Omit<FitProgress, 'phase'> & { readonly phase: Phase }) => void {
  const remaining = remainingTime();
  return ({ phase, done, total, losses }) => {
    const time = phase === 'train' ? remaining(done, total) : '';
    progress(`${phases[phase]} ${done} of ${total}${time}.`, done, total);
    if (losses) onLosses?.(done, losses);
  };
}

/** Tells how long the steps that are left will take, by those since the first report. */
function remainingTime(): (done: number, total: number) => string {
  let first: { readonly done: number; readonly at: number } | undefined;
  return (done, total) => {
    const at = performance.now();
    // Behind a lost device steps are taken again.
    if (!first || done < first.done) first = { done, at };
    if (done === first.done || done === total) return '';
    const seconds = ((at - first.at) / (done - first.done) / 1000) * (total - done);
    return `, ${aboutTime(seconds)} left`;
  };
}

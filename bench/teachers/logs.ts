import { readFileSync } from 'node:fs';
import type { DistillRun } from './report.ts';

/** A line of what `raad distill --log` writes. */
interface Line {
  readonly step: number;
  readonly seconds: number;
  readonly loss?: number;
  readonly heldOutLoss: number;
  readonly explained: number;
}

/** Minutes of a log, and its curve: a point for each look at the held-out photographs. @throws SyntaxError for what is no log */
export function readLog(file: string): Pick<DistillRun, 'minutes' | 'curve'> {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const curve: DistillRun['curve'][number][] = [];
  let losses: number[] = [];
  let looked: number | undefined;
  let minutes = 0;
  for (const text of lines) {
    const { step, seconds, loss, heldOutLoss, explained } = JSON.parse(text) as Line;
    minutes = seconds / 60;
    if (loss === undefined) {
      looked = heldOutLoss;
      continue;
    }
    losses.push(loss);
    if (heldOutLoss === looked) continue;
    looked = heldOutLoss;
    curve.push({ step, loss: losses.reduce((sum, value) => sum + value, 0) / losses.length, heldOutLoss, explained });
    losses = [];
  }
  return { minutes, curve };
}

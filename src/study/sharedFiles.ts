import { parseShape } from '../checks/shape.ts';
import { readModel } from '../detector/modelFile.ts';
import type { LayerScore } from '../hqs/scores.ts';
import { checkPlanDocument } from '../quantization/bitPlan.ts';
import { readCheckpoint } from '../train/checkpoint.ts';
import type { ScoreKind } from './arms.ts';
import { LAYER_SCORES } from './shapes.ts';

/** How the names of files in the store end. */
const MODEL = '.safetensors';
const CHECKPOINT = '.checkpoint';
const TIMED_PLAN = '.time.json';
const SCORES: Readonly<Record<ScoreKind, string>> = { hqs: '.hqs.json', ompq: '.ompq.json' };

function sharedKey(set: string, seed: number): string {
  return `${set}-${seed}`;
}

/** Name in the store of the float model that a set's cells of one seed share. */
export function modelFile(set: string, seed: number): string {
  return sharedKey(set, seed) + MODEL;
}

/** Name in the store of the unfinished training of that model. */
export function checkpointFile(set: string, seed: number): string {
  return sharedKey(set, seed) + CHECKPOINT;
}

/** Name in the store of the layers' scores. */
export function scoresFile(set: string, seed: number, kind: ScoreKind): string {
  return sharedKey(set, seed) + SCORES[kind];
}

/** Name in the store of the bit plan of the arm `time`: what is measured once holds for all its cells. */
export function timedPlanFile(set: string, seed: number): string {
  return sharedKey(set, seed) + TIMED_PLAN;
}

/** Names in the store of everything that the cells of a set and seed share. */
export function sharedFiles(set: string, seed: number): readonly string[] {
  return [MODEL, CHECKPOINT, ...Object.values(SCORES), TIMED_PLAN].map((end) => sharedKey(set, seed) + end);
}

/** Whether a name in the store is that of unfinished training, which is replaced often. */
export function isCheckpoint(name: string): boolean {
  return name.endsWith(CHECKPOINT);
}

/** @throws UserError for contents of {@link sharedFiles} that no runner would take */
export async function checkShared(name: string, bytes: Uint8Array): Promise<void> {
  if (name.endsWith(MODEL)) await readModel(bytes, name);
  else if (name.endsWith(TIMED_PLAN)) checkPlanDocument(new TextDecoder().decode(bytes), name);
  // One without bytes says that training has ended.
  else if (!isCheckpoint(name)) parseScores(bytes, name);
  else if (bytes.length > 0) await readCheckpoint(bytes, name);
}

/** @throws UserError for bytes that are no scores */
export function parseScores(bytes: Uint8Array, name: string): LayerScore[] {
  return parseShape(new TextDecoder().decode(bytes), LAYER_SCORES, name, 'Restore or remove the file.');
}

import { ARMS } from '../../study/arms.ts';
import { studyOptions } from './options.ts';
import type { Command } from './table.ts';

const REDIS = 'redis://host:port, the password in the address or in RAAD_REDIS_PASSWORD';

const study: Command = {
  name: 'study',
  purpose: 'study',
  summary: 'compare every arm of the experiment over data sets and seeds',
  synopsis: 'DATA... --out DIR',
  about: [
    'Runs every arm of the experiment on every data set and seed: float, the bit plans of HQS and of its controls at equal size, budgets of bits and of time, each before and after recalibration, and two filters of the float map. All arms of a set and seed start from one checkpoint and one data order. DATA are data sets or collections of them. What is finished is in DIR/cells.jsonl and is not run again; study.md, study.csv and charts are written from it.',
  ],
  options: {
    out: { value: 'DIR', text: 'the folder of the study' },
    seeds: { value: 'LIST', text: '0,1,2 by default' },
    arms: { value: 'LIST', text: `some of ${ARMS.join(', ')}; all by default` },
    'average-bits': { value: 'N', text: 'mean width of the arm budget', fallback: '5' },
    'budget-time': {
      value: 'SHARE',
      text: "time of the arm time as a share of float's, midway between the fastest widths and float by default",
    },
    ...studyOptions('quick'),
    tables: { text: 'only write the tables anew' },
    markdown: { value: 'FILE', text: 'where the text goes, DIR/study.md' },
    redis: { value: 'URL', text: `leave the cells to workers, which are started with raad study-worker; ${REDIS}` },
    name: { value: 'NAME', text: 'tells studies in one Redis apart', fallback: 'study' },
    clear: { text: 'remove what Redis has of an earlier study of this name' },
  },
};

const worker: Command = {
  name: 'study-worker',
  purpose: 'study',
  summary: 'take cells of a study from a queue in Redis',
  synopsis: 'DATA... --redis URL',
  about: [
    'Takes cells of a study from the queue of raad study --redis, runs them on data sets of this machine, and gives their results back, until Ctrl-C. Settings come with the cells; data sets that are missing here, or differ, are left to other workers.',
  ],
  options: {
    redis: { value: 'URL', text: REDIS },
    name: { value: 'NAME', text: 'of the study', fallback: 'study' },
    penalty: { value: 'DIR', text: 'the photographs that the study was given, if it was' },
    lease: {
      value: 'SECONDS',
      text: 'when this worker is silent for so long, its cell is given to another',
      fallback: '60',
    },
  },
};

export const STUDY: readonly Command[] = [study, worker];

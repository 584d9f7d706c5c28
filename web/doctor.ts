import type { DoctorReport } from '../src/doctor/doctor.ts';
import { doctor } from '../src/selfTest/doctor.ts';
import { engine, exclude } from './device.ts';
import { byId, downloadJson, make, table } from './dom.ts';
import { Task } from './task.ts';

const ERRORS = 'largest errors, as shares of the largest value';

/** Errors beyond so many times what is allowed are not told as shares of it. */
const MOST_TOLD = 10;

/** Sets up the panel that checks the kernels on this adapter. */
export function startDoctor(): void {
  const task = new Task(byId('doctor-task', HTMLElement));
  const save = byId('doctor-save', HTMLButtonElement);
  const result = byId('doctor-result', HTMLElement);
  let report: DoctorReport | undefined;

  byId('doctor-start', HTMLButtonElement).addEventListener('click', () => {
    const full = byId('doctor-full', HTMLInputElement).checked;
    const ops = byId('doctor-ops', HTMLInputElement)
      .value.split(/[\s,]+/)
      .filter(Boolean);
    void task.run(async ({ signal, progress }) => {
      progress('Preparing the cases.');
      const found = await doctor(await engine(), {
        full,
        ops: ops.length > 0 ? ops : undefined,
        signal,
        onProgress: ({ done, total, failures }) =>
          progress(`${done} of ${total} cases, ${failures} wrong.`, done, total),
      });
      // A check of some ops says nothing about the others.
      if (ops.length === 0) await exclude(found.excluded);
      report = found;
      save.disabled = false;
      result.replaceChildren(...resultOf(found));
      return verdictText(found);
    });
  });
  save.addEventListener('click', () => downloadJson('raad-doctor.json', { userAgent: navigator.userAgent, ...report }));
}

function verdictText({ verdict, cases, rows, variants, seconds, failures }: DoctorReport): string {
  const numbers = `${cases} cases of ${variants.length} variants on ${rows} shapes in ${seconds.toFixed(0)} s`;
  return `Verdict: ${verdict}; ${numbers}, ${failures.length === 0 ? 'all right' : `${failures.length} wrong`}.`;
}

function resultOf({ failures, excluded, smoke, variants, testedWithin }: DoctorReport): HTMLElement[] {
  const whole = smoke.map(({ name, error, limit, isRight }) => [
    name,
    isRight ? 'right' : 'wrong',
    errorText(error),
    // What could not run has neither.
    Number.isFinite(error) ? errorText(limit) : '-',
  ]);
  const byVariant = variants
    .toSorted((a, b) => a.op.localeCompare(b.op))
    .map(({ op, variant, cases, failed, worst, worstError }) => [
      `${op}/${variant}`,
      cases,
      failed,
      errorText(worstError),
      worst < MOST_TOLD ? `${(100 * worst).toFixed(0)} %` : 'far above',
    ]);
  const wrong = [
    ...failures.map(({ path, row, message }) => `${path}, ${row}: ${message}`),
    ...smoke.flatMap(({ name, isRight, message }) => (isRight ? [] : [`${name}: ${message ?? 'wrong'}`])),
  ];
  return [
    ...(wrong.length > 0 ? [make('ul', 'notice', ...wrong.map((each) => make('li', '', each)))] : []),
    ...(excluded.length > 0 ? [make('p', 'notice', `Not used any more: ${excluded.join(', ')}.`)] : []),
    table(`Whole networks: ${ERRORS}`, ['part', 'result', 'error', 'allowed'], whole, [2, 3]),
    table(
      `Variants: ${ERRORS}, or in steps of stored values`,
      ['variant', 'cases', 'wrong', 'error', 'of allowed'],
      byVariant,
      [1, 2, 3, 4],
    ),
    ...(testedWithin.length > 0 ? [make('p', 'about', `Ran inside those: ${testedWithin.join(', ')}.`)] : []),
  ];
}

function errorText(share: number): string {
  if (!Number.isFinite(share)) return '-';
  return share === 0 ? '0' : share.toExponential(1);
}

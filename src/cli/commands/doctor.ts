import { prepareCase } from '../../doctor/check.ts';
import { assertTested, type DoctorFailure, type DoctorReport, testedOps } from '../../doctor/doctor.ts';
import type { Caps } from '../../engine/caps.ts';
import { UserError } from '../../errors.ts';
import { measurePeaks } from '../../measure/peak.ts';
import { type Exclusion, exclusionFile, loadExclusions, saveExclusions } from '../../node/exclusions.ts';
import { assertOutputs, assertWritable } from '../../node/output.ts';
import { metricsTable } from '../../report/table.ts';
import { doctor } from '../../selfTest/doctor.ts';
import { detectorTable } from '../../selfTest/table.ts';
import type { Arguments } from '../arguments.ts';
import { peaksText, reportHead, writeJson } from '../benchReport.ts';
import { printLine, printText, say } from '../print.ts';
import { inputFiles, MEASURING, notice, withEngine } from '../withEngine.ts';

/** What capabilities are good for, in words. */
function capabilities(caps: Caps): Record<string, string>[] {
  const { limits } = caps;
  const subgroups =
    caps.subgroupMinSize === caps.subgroupMaxSize
      ? `${caps.subgroupMinSize}`
      : `${caps.subgroupMinSize} to ${caps.subgroupMaxSize}`;
  const mebi = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  return [
    {
      capability: 'subgroups',
      here: caps.subgroups ? `of ${subgroups} lanes` : 'no',
      'good for': 'kernels of CPU adapters, which hold a tile in the registers of one subgroup',
    },
    {
      capability: 'packed 4x8 dot',
      here: yesNo(caps.packedDot),
      'good for': 'products of 8-bit codes in one instruction',
    },
    { capability: 'shader-f16', here: yesNo(caps.f16), 'good for': 'arithmetic in half precision' },
    { capability: 'timestamps', here: yesNo(caps.timestampQuery), 'good for': 'times of single dispatches' },
    {
      capability: 'workgroup memory',
      here: `${limits.maxComputeWorkgroupStorageSize / 1024} KiB`,
      'good for': 'larger blocks per workgroup; the kernels need 16 KiB',
    },
    {
      capability: 'invocations per workgroup',
      here: `${limits.maxComputeInvocationsPerWorkgroup}`,
      'good for': 'tile kernels, which need 256',
    },
    {
      capability: 'largest binding',
      here: mebi(limits.maxStorageBufferBindingSize),
      'good for': 'larger batches and inputs in one dispatch',
    },
    { capability: 'largest buffer', here: mebi(limits.maxBufferSize), 'good for': 'plans with more memory' },
  ];
}

const yesNo = (has: boolean) => (has ? 'yes' : 'no');

function show(report: DoctorReport): void {
  printText(
    metricsTable(
      report.variants.map(({ op, variant, cases, failed, worst, worstError }) => ({
        op,
        variant,
        cases,
        failed,
        'worst error': worstError.toExponential(1),
        'share of limit': Number.isFinite(worst) ? `${(100 * worst).toFixed(0)} %` : 'wrong',
      })),
      { digits: 2 },
    ),
  );
  if (report.testedWithin.length > 0) printLine(`run inside those: ${report.testedWithin.join(', ')}`);
  for (const { name, error, limit, isRight, message } of report.smoke) {
    const text = isRight ? 'right' : `WRONG, ${message}`;
    printLine(`${name} of a whole network: ${text} (error ${error.toExponential(1)}, allowed ${limit})`);
  }
  for (const failure of report.failures) printLine(wrongText(failure));
}

function wrongText({ path, row, message }: DoctorFailure): string {
  return `WRONG: ${path} on '${row}': ${message}`;
}

function verdictText({ verdict, cases, rows, variants, excluded, seconds, failures }: DoctorReport): string {
  const count = `${cases} cases of ${variants.length} variants on ${rows} shapes in ${seconds.toFixed(0)} s`;
  if (verdict === 'healthy') return `verdict: healthy; ${count}, all right`;
  const list = excluded.length > 0 ? excluded.join(', ') : 'none';
  const rest = verdict === 'limited' ? 'all else works' : 'this adapter cannot be relied on';
  return `verdict: ${verdict}; ${count}, ${failures.length} wrong; excluded here: ${list}; ${rest}`;
}

/** Excluded variants with the first case that each failed. */
function exclusionsOf({ excluded, failures }: DoctorReport): Exclusion[] {
  return excluded.map((variant) => {
    const failure = failures.find(({ path }) => path.split(' > ').includes(variant))!;
    return { variant, row: failure.row, message: failure.message };
  });
}

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const json = args.text('json');
  const ops = args.text('only')?.split(',');
  if (ops) assertTested(ops, testedOps(detectorTable.map(prepareCase)));
  await assertOutputs([json], inputFiles(args));
  const report = await withEngine(
    args,
    async (engine) => {
      const { caps } = engine;
      // An adapter can be checked where nothing can be kept, too.
      const isKept = await assertWritable(exclusionFile(caps)).then(
        () => true,
        (error: Error) => {
          notice(`${error.message} What is wrong is not remembered.`);
          return false;
        },
      );
      printText(metricsTable(capabilities(caps), { digits: 0 }));
      const before = await loadExclusions(caps, notice);
      let shown = performance.now();
      const found = await doctor(engine, {
        full: args.flag('full'),
        ops,
        rows: before.map(({ row }) => row),
        signal,
        onProgress({ done, total, failures, failure }) {
          if (failure) say(wrongText(failure));
          if (performance.now() - shown < PROGRESS_INTERVAL && done < total) return;
          shown = performance.now();
          say(`${done}/${total} cases, ${failures} wrong`);
        },
      });
      show(found);
      const peaks = args.flag('no-peaks') ? undefined : await measurePeaks(engine);
      if (peaks) printText(peaksText(peaks));
      const exclusions = exclusionsOf(found);
      const file = isKept ? await saveExclusions(caps, exclusions) : undefined;
      if (file && exclusions.length > 0) printLine(`exclusions are kept in ${file}`);
      const lifted = before.filter(({ variant }) => !found.excluded.includes(variant));
      for (const { variant } of new Map(lifted.map((each) => [each.variant, each])).values())
        printLine(`${variant} is right again and used from now on`);
      if (json) await writeJson(json, { ...(await reportHead(args, caps)), limits: caps.limits, ...found, peaks });
      printLine(verdictText(found));
      return found;
    },
    { withExclusions: false, toggles: MEASURING },
  );
  if (report.verdict !== 'healthy') {
    throw new UserError(
      `${report.failures.length} cases are wrong on this adapter.`,
      'A newer driver may mend it; please report it with the file of --json.',
    );
  }
}

const PROGRESS_INTERVAL = 10_000;

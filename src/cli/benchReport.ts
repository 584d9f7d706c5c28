import type { Caps } from '../engine/caps.ts';
import type { Peaks } from '../measure/peak.ts';
import { writeAtomically } from '../node/output.ts';
import { ownVersion } from '../node/version.ts';
import type { Arguments } from './arguments.ts';
import { MEASURING, readToggles } from './withEngine.ts';

/** 10^9 per second. */
export const gigas = (count: number, milliseconds: number) => count / milliseconds / 1e6;

export function peaksText(peaks: Peaks): string {
  const { f32GFlops, f16GFlops, dot4I8GOps, copyGBs, readGBs, memory, emptySubmitUs, dispatchUs } = peaks;
  const rates = [
    `f32 ${f32GFlops.toFixed(1)} GFLOP/s`,
    f16GFlops > 0 && `f16 ${f16GFlops.toFixed(1)} GFLOP/s`,
    `dot4I8Packed ${dot4I8GOps.toFixed(1)} GOP/s`,
    `copy ${copyGBs.toFixed(1)} GB/s`,
    `read ${readGBs.toFixed(1)} GB/s`,
  ];
  const bySize = memory.map(({ bytes, GBs }) => `${bytes / 2 ** 20} MiB ${GBs.toFixed(1)}`);
  return [
    `peaks: ${rates.filter(Boolean).join(', ')}`,
    `memory by size of the data, GB/s: ${bySize.join(', ')}`,
    `empty submission ${emptySubmitUs.toFixed(1)} us, dispatch ${dispatchUs.toFixed(2)} us`,
  ].join('\n');
}

/** What every figure depends on: adapter, driver, Dawn's toggles, versions. */
export async function reportHead(args: Arguments, caps: Caps) {
  const { vendor, architecture, device, description, subgroupMaxSize, f16, packedDot } = caps;
  return {
    adapter: { vendor, architecture, device, description, subgroupMaxSize, f16, packedDot },
    toggles: readToggles(args, MEASURING),
    versions: { 'raad-webgpu': await ownVersion(), node: process.version },
  };
}

/** A report as JSON, with the commit where `RAAD_COMMIT` tells it. */
export async function writeJson(file: string, report: object): Promise<void> {
  const commit = process.env['RAAD_COMMIT'];
  await writeAtomically(file, `${JSON.stringify({ ...report, commit: commit || undefined }, null, 2)}\n`);
}

import type { Caps } from '../../engine/caps.ts';
import { Engine } from '../../engine/engine.ts';
import { type AdapterEntry, listAdapters, openDevice } from '../../node/device.ts';
import type { Toggles } from '../../node/toggles.ts';
import type { Arguments } from '../arguments.ts';
import { printLine, printText } from '../print.ts';
import { readToggles } from '../withEngine.ts';

interface Inspection {
  readonly caps?: Caps | undefined;
  /** As WebGPU tells it; absent where it does not. */
  readonly isFallback?: boolean | undefined;
  readonly problem?: string | undefined;
}

/** What an adapter can do, or why it cannot be used. */
async function inspect({ name }: AdapterEntry, toggles: Toggles): Promise<Inspection> {
  try {
    const opened = await openDevice({ adapter: name, toggles });
    try {
      const { isFallbackAdapter } = opened.device.adapterInfo as { isFallbackAdapter?: boolean };
      const { caps } = new Engine({ device: opened.device });
      return { caps, isFallback: isFallbackAdapter };
    } finally {
      opened.close();
    }
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

function subgroupSizes({ subgroups, subgroupMinSize, subgroupMaxSize }: Caps): string {
  if (!subgroups) return 'none';
  return subgroupMinSize === subgroupMaxSize
    ? `${subgroupMinSize} lanes`
    : `${subgroupMinSize} to ${subgroupMaxSize} lanes`;
}

function matrices({ subgroupMatrixConfigs }: Caps): string {
  const shown = subgroupMatrixConfigs.map(({ componentType, resultComponentType, M, N, K }) => {
    return `${componentType} to ${resultComponentType} ${M}x${N}x${K}`;
  });
  return shown.join(', ') || 'none';
}

const mebibytes = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;

/** Titles and values. */
function rows(caps: Caps, isFallback: boolean | undefined): [string, string][] {
  const { vendor, architecture, device, description, f16, packedDot, timestampQuery, limits } = caps;
  const features = [f16 && 'f16', packedDot && 'packed dot products', timestampQuery && 'timestamps'];
  const nature = [caps.isCpu ? 'software on the CPU' : 'hardware', isFallback && 'fallback adapter'];
  const list = (values: readonly (string | false | undefined)[]) => values.filter(Boolean).join(', ');
  return [
    ['device', device || '(hidden)'],
    ['driver', description || '(hidden)'],
    ['vendor', [vendor || '(hidden)', architecture].filter(Boolean).join(' / ')],
    ['nature', list(nature)],
    ['subgroups', subgroupSizes(caps)],
    ['matrices', matrices(caps)],
    ['features', list(features) || 'none'],
    [
      'workgroups',
      list([
        `${limits.maxComputeWorkgroupStorageSize / 1024} KiB of memory`,
        `${limits.maxComputeInvocationsPerWorkgroup} invocations`,
        `${limits.maxComputeWorkgroupsPerDimension} per dimension`,
      ]),
    ],
    [
      'buffers',
      list([
        `${mebibytes(limits.maxBufferSize)} at most`,
        `bindings of ${mebibytes(limits.maxStorageBufferBindingSize)}`,
        `${limits.maxStorageBuffersPerShaderStage} storage buffers per stage`,
      ]),
    ],
  ];
}

export async function run(args: Arguments): Promise<void> {
  const toggles = readToggles(args);
  const list = [];
  for (const adapter of await listAdapters()) {
    list.push({ ...adapter, ...(await inspect(adapter, toggles)) });
  }
  if (args.flag('json')) {
    printText(JSON.stringify(list, null, 2));
    return;
  }
  if (list.length === 0) printLine('no WebGPU adapter was found; `npm run setup` installs a software one');
  const best = list.find(({ caps }) => caps);
  for (const entry of list) {
    const { name, kind, backend, caps, isFallback, problem } = entry;
    printLine(`${entry === best ? '*' : ' '} ${name} (${kind}, ${backend})`);
    if (!caps) {
      printLine(`    cannot be used: ${problem}`);
      continue;
    }
    for (const [title, value] of rows(caps, isFallback)) printLine(`    ${title.padEnd(12)}${value}`);
  }
}

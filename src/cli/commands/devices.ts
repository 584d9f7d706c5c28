import type { Caps } from '../../engine/caps.ts';
import { Engine } from '../../engine/engine.ts';
import { type AdapterEntry, listAdapters, openDevice } from '../../node/device.ts';
import type { Arguments, OptionTable } from '../arguments.ts';

export const usage = `raad devices
  Lists the WebGPU adapters, best first, and what each can do.

  --json                 as JSON`;

export const options: OptionTable = { json: { type: 'boolean' } };

/** What an adapter can do, or why it cannot be used. */
async function inspect({ name }: AdapterEntry): Promise<{ caps?: Caps; problem?: string }> {
  try {
    const opened = await openDevice({ adapter: name });
    try {
      return { caps: new Engine({ device: opened.device }).caps };
    } finally {
      opened.close();
    }
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

export async function run(args: Arguments): Promise<void> {
  const list = [];
  for (const adapter of await listAdapters()) {
    list.push({ ...adapter, ...(await inspect(adapter)) });
  }
  if (args.flag('json')) {
    console.log(JSON.stringify(list, null, 2));
    return;
  }
  if (list.length === 0) console.log('no WebGPU adapter was found; `npm run setup` installs a software one');
  const best = list.find(({ caps }) => caps);
  for (const entry of list) {
    const { name, kind, backend, caps, problem } = entry;
    console.log(`${entry === best ? '*' : ' '} ${name} (${kind}, ${backend})`);
    if (!caps) {
      console.log(`    cannot be used: ${problem}`);
      continue;
    }
    const { subgroups, subgroupMinSize, subgroupMaxSize, f16, timestampQuery, limits } = caps;
    const size = subgroupMinSize === subgroupMaxSize ? subgroupMinSize : `${subgroupMinSize}..${subgroupMaxSize}`;
    const features = [subgroups && `subgroups of ${size}`, f16 && 'f16', timestampQuery && 'timestamps'].filter(
      Boolean,
    );
    console.log(`    ${caps.description}`);
    console.log(
      `    ${features.join(', ') || 'no optional features'}; largest binding ${limits.maxStorageBufferBindingSize / 2 ** 20} MiB`,
    );
  }
}

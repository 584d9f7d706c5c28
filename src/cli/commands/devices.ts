import { Engine } from '../../engine/engine.ts';
import { listAdapters, openDevice } from '../../node/device.ts';
import type { Arguments, OptionTable } from '../arguments.ts';

export const usage = `raad devices
  Lists the WebGPU adapters, best first, and what each can do.

  --json                 as JSON`;

export const options: OptionTable = { json: { type: 'boolean' } };

export async function run(args: Arguments): Promise<void> {
  const list = [];
  for (const adapter of await listAdapters()) {
    const opened = await openDevice({ adapter: adapter.name });
    list.push({ ...adapter, caps: new Engine({ device: opened.device }).caps });
    opened.close();
  }
  if (args.flag('json')) {
    console.log(JSON.stringify(list, null, 2));
    return;
  }
  if (list.length === 0) console.log('no WebGPU adapter was found; `npm run setup` installs a software one');
  for (const [index, { name, kind, backend, caps }] of list.entries()) {
    const { subgroups, subgroupMinSize, subgroupMaxSize, f16, timestampQuery, limits } = caps;
    const size = subgroupMinSize === subgroupMaxSize ? subgroupMinSize : `${subgroupMinSize}..${subgroupMaxSize}`;
    const features = [subgroups && `subgroups of ${size}`, f16 && 'f16', timestampQuery && 'timestamps'].filter(
      Boolean,
    );
    console.log(`${index === 0 ? '*' : ' '} ${name} (${kind}, ${backend})`);
    console.log(`    ${caps.description}`);
    console.log(
      `    ${features.join(', ') || 'no optional features'}; largest binding ${limits.maxStorageBufferBindingSize / 2 ** 20} MiB`,
    );
  }
}

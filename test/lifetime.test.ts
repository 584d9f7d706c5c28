import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const NODE = new URL('../dist/node.js', import.meta.url).href;
const folder = temporaryFolder();

/** Runs a program that may collect garbage when it likes. */
function run(name: string, body: string) {
  const program = `import { openDevice } from '${NODE}';
async function collect() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
/** Copies bytes there and back. */
async function work(device) {
  const size = 1 << 16;
  for (let round = 0; round < 8; round++) {
    const from = device.createBuffer({ size, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
    const to = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    device.queue.writeBuffer(from, 0, new Uint8Array(size).fill(round));
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, size);
    device.queue.submit([encoder.finish()]);
    const mapped = to.mapAsync(GPUMapMode.READ);
    globalThis.gc();
    await mapped;
    if (new Uint8Array(to.getMappedRange()).some((value) => value !== round)) throw new Error('wrong bytes');
    await collect();
  }
}
${body}
console.log('right');
`;
  writeTree(folder, { [name]: program });
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', `${folder}/${name}`], {
    encoding: 'utf8',
    timeout: 100_000,
  });
  expect([status, signal, stdout.trim()], stderr).toEqual([0, null, 'right']);
}

test('a device works when all else of what openDevice gave is collected', () => {
  run(
    'only.mjs',
    `const only = async () => (await openDevice()).device;
const device = await only();
await collect();
await work(device);
device.destroy();
await collect();`,
  );
});

test('a queue and a buffer work when their device is held by nobody, and the process ends by itself', () => {
  run(
    'queue.mjs',
    `async function begin() {
  const { device } = await openDevice();
  const from = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_SRC, mappedAtCreation: true });
  new Uint8Array(from.getMappedRange()).set([1, 2, 3, 4]);
  from.unmap();
  const to = device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, to, 0, 4);
  return { queue: device.queue, commands: encoder.finish(), to };
}
const { queue, commands, to } = await begin();
await collect();
queue.submit([commands]);
const mapped = to.mapAsync(GPUMapMode.READ);
await collect();
await mapped;
if (new Uint8Array(to.getMappedRange()).join() !== '1,2,3,4') throw new Error('wrong bytes');`,
  );
});

test('what was closed is collected without harm to others', () => {
  run(
    'closed.mjs',
    `const other = await openDevice();
for (let i = 0; i < 3; i++) {
  const opened = await openDevice();
  await work(opened.device);
  opened.close();
  await opened.device.lost;
}
await collect();
await work(other.device);
other.close();`,
  );
});

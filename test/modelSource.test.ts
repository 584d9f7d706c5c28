import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadDetector } from '../src/detector/modelFile.ts';
import { type ModelSource, readSource } from '../src/detector/modelSource.ts';
import { UserError } from '../src/errors.ts';
import { engine } from './support/gpu.ts';
import { savedFile } from './support/savedFiles.ts';

const bytes = Uint8Array.from(savedFile('model-2.safetensors.gz'));
const server = createServer(({ url }, response) => {
  if (url !== '/models/small.safetensors?v=1') return response.writeHead(404).end();
  return response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
});
let origin = '';

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

describe('a model comes from', () => {
  const address = () => `${origin}/models/small.safetensors?v=1`;
  const sources: Record<string, () => ModelSource | Promise<ModelSource>> = {
    bytes: () => bytes,
    'an ArrayBuffer': () => bytes.slice().buffer,
    'a Blob': () => new Blob([bytes]),
    'a File': () => new File([bytes], 'mine.safetensors'),
    'a Response': () => fetch(address()),
    'an address': address,
    'a URL': () => new URL(address()),
  };
  for (const [what, source] of Object.entries(sources)) {
    test(what, async () => {
      const seen: [number, number | undefined][] = [];
      const read = await readSource(await source(), { onProgress: (...progress) => seen.push(progress) });
      expect(Buffer.compare(read.bytes, bytes)).toBe(0);
      if (!/^(bytes|an Array)/.test(what)) expect(seen.at(-1)).toEqual([bytes.length, bytes.length]);
      if (/Response|address|URL/.test(what)) expect(read.name).toBe('small.safetensors');
    });
  }

  test('an address onto an engine', async () => {
    const detector = await loadDetector(await engine(), address());
    expect(detector.state.networks.size).toBe('xs');
    detector.destroy();
  });
});

describe('refused with a sentence', () => {
  const refusal = (source: unknown) => readSource(source as ModelSource).catch((error) => error);

  test('an address without a file', async () => {
    const error = await refusal(`${origin}/none.safetensors`);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toBe('none.safetensors cannot be fetched: the server answers 404.');
  });

  test('a server that is not there', async () => {
    expect((await refusal('http://127.0.0.1:1/x')).message).toMatch(/^http:\/\/127\.0\.0\.1:1\/x cannot be fetched: /);
  });

  test('an answer that was read', async () => {
    const response = await fetch(`${origin}/models/small.safetensors?v=1`);
    await response.arrayBuffer();
    expect((await refusal(response)).message).toBe('the answer for small.safetensors has been read already.');
  });

  test.each([[42], [{}], [undefined], [new Date()]])('%s', async (source) => {
    const error = await refusal(source);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/^a model cannot be read from a value of type \w+\.$/);
  });

  test('a file that is none, by its name', async () => {
    const loading = loadDetector(await engine(), new File(['nothing'], 'mine.safetensors'));
    await expect(loading).rejects.toThrow(/^mine\.safetensors is not a usable safetensors file/);
  });
});

test('an aborted signal ends the reading with its reason', async () => {
  const reason = new Error('enough');
  const stop = new AbortController();
  const parts = new ReadableStream({
    pull: (controller) => controller.enqueue(bytes.slice(0, 100)),
  });
  const reading = readSource(new Response(parts), { signal: stop.signal, onProgress: () => stop.abort(reason) });
  await expect(reading).rejects.toBe(reason);
  const before = AbortSignal.abort(reason);
  await expect(readSource(bytes, { signal: before })).rejects.toBe(reason);
  await expect(readSource(`${origin}/models/small.safetensors?v=1`, { signal: before })).rejects.toBe(reason);
  await expect(loadDetector(await engine(), bytes, { signal: before })).rejects.toBe(reason);
});

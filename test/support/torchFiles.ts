import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { readSafetensors, type StoredTensor } from '../../src/formats/safetensors.ts';
import { openZip, writeZip } from '../../src/torch/zip.ts';

/** A file that PyTorch wrote. @see test/golden/torch/README.md */
export const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../golden/torch/${name}`, import.meta.url))));

/** What PyTorch says of them. */
export const expected: ReadonlyMap<string, StoredTensor> = readSafetensors(
  golden('expected.safetensors'),
  'expected',
).tensors;

/** The contents of an archive, unpacked. */
export async function unpacked(bytes: Uint8Array): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const [name, entry] of openZip(bytes, 'a.zip')) files.set(name, new Uint8Array(await entry.read()));
  return files;
}

/** An archive as PyTorch's, of a pickle and perhaps some storages. */
export function archive(pickle: Uint8Array, storages: Readonly<Record<string, Uint8Array>> = {}): Uint8Array {
  const data = Object.entries(storages).map(([key, bytes]) => [`a/data/${key}`, bytes] as const);
  return writeZip(new Map([['a/data.pkl', pickle], ...data]));
}

/** A pickle of bytes, texts as they stand in a pickle, and other such parts, between its protocol and its end. */
export function pickle(...parts: readonly (number | string | readonly number[])[]): Uint8Array {
  const bytes = parts.flatMap((part) => (typeof part === 'string' ? [...new TextEncoder().encode(part)] : part));
  return Uint8Array.from([0x80, 2, ...bytes, 0x2e]);
}

/** Pushes a short text. */
export const text = (value: string) => [0x58, value.length, 0, 0, 0, ...new TextEncoder().encode(value)];

/** Expects one sentence and a fix. */
export async function expectRefusal(promise: Promise<unknown>, message: string | RegExp): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UserError)) throw error ?? new Error('nothing was refused');
  expect(error.message).toMatch(message);
  expect(error.message).toMatch(/^[^\n\r]{1,600}\.$/);
  expect(error.fix).toMatch(/^\S.*\.$/);
}

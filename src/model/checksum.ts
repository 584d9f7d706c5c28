import { UserError } from '../errors.ts';
import { readSafetensors, type TensorFile, type WritableTensor, writeSafetensors } from './safetensors.ts';

const BLANK = '0'.repeat(64);
const MARK = '"checksum":"';

async function digest(bytes: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Where the 64 hexadecimal digits stand: inside the JSON header, so before the tensors. */
function checksumOffset(bytes: Uint8Array): number {
  const header = new TextDecoder('latin1').decode(bytes.subarray(8, 8 + 2 ** 20));
  const at = header.indexOf(MARK);
  return at < 0 ? -1 : 8 + at + MARK.length;
}

/** A safetensors file whose metadata carries the SHA-256 of all its bytes (with the checksum's own digits as zeros). */
export async function writeChecked(
  tensors: ReadonlyMap<string, WritableTensor>,
  metadata: Record<string, string>,
): Promise<Uint8Array> {
  const bytes = writeSafetensors(tensors, { checksum: BLANK, ...metadata });
  bytes.set(new TextEncoder().encode(await digest(bytes)), checksumOffset(bytes));
  return bytes;
}

/** @param name shown in messages @throws UserError for a file that is damaged at any byte */
export async function readChecked(bytes: Uint8Array, name: string): Promise<TensorFile> {
  const file = readSafetensors(bytes, name);
  const { checksum } = file.metadata;
  const at = checksumOffset(bytes);
  if (!checksum || at < 0) {
    throw new UserError(
      `${name} has no checksum: it was not written by this program.`,
      'Make a model with `raad fit`.',
    );
  }
  const copy = bytes.slice();
  copy.set(new TextEncoder().encode(BLANK), at);
  if ((await digest(copy)) !== checksum) {
    throw new UserError(`${name} is damaged: its checksum does not match.`, 'Copy or make the file again.');
  }
  return file;
}

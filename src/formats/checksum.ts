import { UserError } from '../errors.ts';
import {
  type OpenedFile,
  openSafetensors,
  type TensorEntry,
  type WritableTensor,
  writeSafetensors,
} from './safetensors.ts';

const BLANK = '0'.repeat(64);
/** Offset of the header in the file. */
const HEADER_AT = 8;

/** A file with a checksum, which has not been compared yet. */
export interface CheckedFile extends OpenedFile {
  /** @throws UserError for a file that is damaged at any byte */
  verify(): Promise<void>;
}

/** SHA-256 of the bytes with zeros for the checksum's own digits, which are overwritten. */
async function digest(bytes: Uint8Array, at: number): Promise<string> {
  bytes.set(new TextEncoder().encode(BLANK), at);
  const hash = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Where the checksum's 64 hexadecimal digits first stand in the file; undefined when it has none. */
function checksumOffset({ header, metadata }: OpenedFile): number | undefined {
  const { checksum = '' } = metadata;
  if (!/^[0-9a-f]{64}$/.test(checksum)) return undefined;
  // A character per byte, whatever the text's encoding.
  const at = new TextDecoder('latin1').decode(header).indexOf(checksum);
  return at < 0 ? undefined : HEADER_AT + at;
}

function requireOffset(file: OpenedFile, name: string): number {
  const at = checksumOffset(file);
  if (at === undefined) {
    throw new UserError(
      `${name} has no checksum: it was not written by this program.`,
      'Make a model with `raad fit`.',
    );
  }
  return at;
}

/**
 * Writes the checksum over the one that a file holds.
 * @param bytes changed in place
 * @throws UserError for a file without a place for it
 */
export async function sealChecksum(bytes: Uint8Array, name = 'the file'): Promise<void> {
  const at = requireOffset(openSafetensors(bytes, name), name);
  bytes.set(new TextEncoder().encode(await digest(bytes, at)), at);
}

/** A safetensors file whose metadata carries the SHA-256 of all its bytes (with the checksum's own digits as zeros). */
export async function writeChecked(
  tensors: ReadonlyMap<string, WritableTensor | TensorEntry>,
  metadata: Record<string, string>,
): Promise<Uint8Array> {
  const bytes = writeSafetensors(tensors, { checksum: BLANK, ...metadata });
  await sealChecksum(bytes);
  return bytes;
}

/**
 * Opens a file that has a checksum. A right checksum shows that nothing was damaged, not who wrote the file: contents have
 * to be checked all the same, and what can be checked in the header is cheaper than the hash.
 * @param name shown in messages @throws UserError for a malformed header, or one without a checksum
 */
export function openChecked(bytes: Uint8Array, name: string): CheckedFile {
  const file = openSafetensors(bytes, name);
  const at = requireOffset(file, name);
  const verify = async () => {
    // `slice` would be a view where the file is a Buffer.
    if ((await digest(new Uint8Array(bytes), at)) !== file.metadata['checksum'])
      throw new UserError(`${name} is damaged: its checksum does not match.`, 'Copy or make the file again.');
  };
  return { ...file, verify };
}

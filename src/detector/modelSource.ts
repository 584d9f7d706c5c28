import { UserError } from '../errors.ts';

/** Where a model file's bytes come from: they themselves, a file of the user's, an answer of a server or its address. */
export type ModelSource = Uint8Array | ArrayBuffer | Blob | Response | URL | string;

/** How a source is read. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** @param total bytes, undefined where a server does not say */
  readonly onProgress?: ((received: number, total: number | undefined) => void) | undefined;
}

/**
 * All bytes of a source, and a name for messages.
 * @throws UserError for an address that has no file, and what is no source
 * @throws the signal's reason
 */
export async function readSource(
  source: ModelSource,
  options: ReadOptions = {},
): Promise<{ bytes: Uint8Array; name?: string | undefined }> {
  options.signal?.throwIfAborted();
  if (source instanceof Uint8Array) return { bytes: source };
  if (source instanceof ArrayBuffer) return { bytes: new Uint8Array(source) };
  if (source instanceof Blob) {
    const name = 'name' in source ? String(source.name) || undefined : undefined;
    const bytes = await collect(source.stream(), source.size, options);
    return { bytes, name };
  }
  if (source instanceof Response) return { bytes: await readResponse(source, options), name: nameOf(source.url) };
  if (typeof source === 'string' || source instanceof URL) {
    const { signal = null } = options;
    const response = await fetch(source, { signal }).catch((error: Error) => {
      signal?.throwIfAborted();
      throw new UserError(`${source} cannot be fetched: ${error.message}.`, 'Check the address and the connection.');
    });
    return { bytes: await readResponse(response, options), name: nameOf(String(source)) };
  }
  const kind = Object.prototype.toString.call(source).slice(8, -1);
  throw new UserError(
    `a model cannot be read from a value of type ${kind}.`,
    'Give bytes, an ArrayBuffer, a Blob or File, a Response, or the address of the file.',
  );
}

async function readResponse(response: Response, options: ReadOptions): Promise<Uint8Array> {
  const name = nameOf(response.url);
  if (!response.ok)
    throw new UserError(`${name} cannot be fetched: the server answers ${response.status}.`, 'Check the address.');
  if (!response.body || response.bodyUsed)
    throw new UserError(`the answer for ${name} has been read already.`, 'Fetch it again, or give its bytes.');
  // Of bytes that travel compressed the length is another one.
  const length = response.headers.get('content-encoding') ? null : response.headers.get('content-length');
  return collect(response.body, length === null ? undefined : Number(length), options);
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  total: number | undefined,
  { signal, onProgress }: ReadOptions,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let received = 0;
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      signal?.throwIfAborted();
      parts.push(next.value);
      received += next.value.length;
      onProgress?.(received, total);
    }
  } catch (error) {
    await reader.cancel().catch(() => {});
    throw error;
  }
  const bytes = new Uint8Array(received);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The last part of an address. */
function nameOf(address: string): string {
  const path = address.replace(/[?#].*$/, '');
  return path.slice(path.lastIndexOf('/') + 1) || 'the model file';
}

import { cannotFetch } from './deferred.ts';

/** A shader's text, or what loads it: the package's own lie in chunks that are fetched when a kernel of theirs is used. */
export type ShaderSource = string | (() => Promise<string>);

const loaded = new WeakMap<() => Promise<string>, string>();

/** The text, loaded on first use. @throws UserError where its chunk cannot be loaded */
export async function loadShader(source: ShaderSource): Promise<string> {
  if (typeof source === 'string') return source;
  const known = loaded.get(source);
  if (known !== undefined) return known;
  const text = await source().catch(cannotFetch('shaders'));
  loaded.set(source, text);
  return text;
}

/** @throws Error for a source that {@link loadShader} has not loaded */
export function shaderText(source: ShaderSource): string {
  if (typeof source === 'string') return source;
  const text = loaded.get(source);
  if (text === undefined) throw new Error('a shader is used before it has been loaded');
  return text;
}

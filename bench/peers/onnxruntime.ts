import type { Peer } from './peer.ts';

/** Longer than its threads stay awake after a run, milliseconds: 600 give the same shares of time. */
const REST = 100;

/** onnxruntime-node with one execution provider, and no other to fall back on in silence. */
export async function nativePeer(
  provider: 'webgpu' | 'cpu',
  model: Uint8Array,
  image: Float32Array,
  shape: readonly number[],
): Promise<Peer> {
  const { env, InferenceSession, Tensor } = await import('onnxruntime-node');
  const session = await InferenceSession.create(model, {
    executionProviders: [provider],
    ...(provider === 'webgpu' && { extra: { session: { disable_cpu_ep_fallback: '1' } } }),
  });
  const feed = { [session.inputNames[0]!]: new Tensor('float32', image, shape) };
  return {
    name: `onnxruntime-node ${provider}`,
    ...(provider === 'cpu' && { rest: REST }),
    versions: { 'onnxruntime-node': env.versions.node ?? env.versions.common },
    run: async () => (await session.run(feed))[session.outputNames[0]!]!.data as Float32Array,
  };
}

export async function wasmPeer(
  threads: number,
  model: Uint8Array,
  image: Float32Array,
  shape: readonly number[],
): Promise<Peer> {
  const { env, InferenceSession, Tensor } = await import('onnxruntime-web');
  env.wasm.numThreads = threads;
  const session = await InferenceSession.create(model, { executionProviders: ['wasm'] });
  const feed = { [session.inputNames[0]!]: new Tensor('float32', image, shape) };
  return {
    name: `onnxruntime-web wasm, ${threads} threads`,
    rest: REST,
    versions: { 'onnxruntime-web': env.versions.web ?? env.versions.common },
    run: async () => (await session.run(feed))[session.outputNames[0]!]!.data as Float32Array,
  };
}

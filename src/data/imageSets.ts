import type { ImageSource } from './image.ts';

/** Some images of a source, in that order. */
export function someImages(source: ImageSource, indices: readonly number[]): ImageSource {
  return {
    count: indices.length,
    ...(source.digest !== undefined && { digest: `${source.digest} at ${indices.join()}` }),
    ...(source.paths && { paths: indices.map((i) => source.paths![i]!) }),
    image: (i) => source.image(indices[i]!),
  };
}

/** Training images, and behind them held-out ones. */
export function joinedImages(first: ImageSource, second: ImageSource): ImageSource {
  const name = (source: ImageSource, i: number, kind: string) => source.paths?.[i] ?? `${kind} image ${i + 1}`;
  return {
    count: first.count + second.count,
    paths: [
      ...Array.from({ length: first.count }, (_, i) => name(first, i, 'training')),
      ...Array.from({ length: second.count }, (_, i) => name(second, i, 'held-out')),
    ],
    image: (i) => (i < first.count ? first.image(i) : second.image(i - first.count)),
  };
}

import { timeDetectors } from '../bench/detectors.ts';
import type { Detector } from '../detector/detector.ts';
import { withModules } from '../engine/deferred.ts';
import { deviceBytes } from '../engine/deviceBytes.ts';
import type { Engine } from '../engine/engine.ts';
import { type Node, topologicalOrder } from '../engine/graph.ts';
import { chooseVariant, fuse } from '../engine/lower.ts';
import { qconv2dOp } from '../kernels/qconv2d.ts';
import { packedLayerOf } from '../quantization/integerGraph.ts';
import { printLine } from './print.ts';

const TIMING = { rounds: 9, warmUp: 2 };

function mapsOf(detector: Detector): Readonly<Record<string, Node>> {
  const { studentTeacher, autoencoder, combined } = detector.fusedGraph(1);
  return { studentTeacher, autoencoder, combined };
}

/** The variant that each packed layer runs by here; layers of one variant together. */
function kernelsText(engine: Engine, outputs: Readonly<Record<string, Node>>): string {
  const layers = new Map<string, Set<string>>();
  for (const node of topologicalOrder(fuse(Object.values(outputs)))) {
    if (node.op !== qconv2dOp) continue;
    const { name } = chooseVariant(node, engine);
    layers.set(name, (layers.get(name) ?? new Set()).add(packedLayerOf(node)!));
  }
  return [...layers].map(([name, own]) => `${name} for ${[...own].join(', ')}`).join('; ');
}

/** Prints what a quantized detector runs by on this adapter, and what it gains: bytes on the device, and time where asked. */
export async function printGains(
  quantized: Detector,
  float: Detector,
  { isTimed, signal }: { readonly isTimed: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { engine } = quantized;
  const kernels = kernelsText(engine, mapsOf(quantized));
  if (kernels) printLine(`kernels here: ${kernels}`);
  const bytes = (of: Detector) => withModules(() => deviceBytes({ outputs: mapsOf(of) }, engine) / 1e6);
  const [ours, theirs] = [await bytes(quantized), await bytes(float)];
  const megabytes = (value: number) => `${value.toPrecision(3)} MB`;
  const ratio = (value: number, of: number) => `${(value / of).toPrecision(3)} of float's`;
  printLine(`on the device: ${megabytes(ours)}, ${ratio(ours, theirs)} ${megabytes(theirs)}`);
  if (!isTimed) return;
  const detectors = [
    { name: 'quantized', detector: quantized },
    { name: 'float', detector: float },
  ];
  const [mine, others] = await timeDetectors(engine, detectors, 1, engine.tuning, { ...TIMING, signal });
  const [time, other] = [mine!.median, others!.median];
  printLine(`an image: ${time.toPrecision(3)} ms, ${ratio(time, other)} ${other.toPrecision(3)} ms`);
}

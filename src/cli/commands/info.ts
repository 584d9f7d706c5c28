import { basename } from 'node:path';
import type { DetectorState } from '../../detector/detectorState.ts';
import { readModel } from '../../detector/modelFile.ts';
import { gridOf } from '../../detector/seen.ts';
import { extent } from '../../math/extent.ts';
import { parameterCount } from '../../networks/networks.ts';
import { readBytes } from '../../node/files.ts';
import { type LayerPlan, layerBytes, quantizableLayers } from '../../quantization/bitPlan.ts';
import { metricsTable } from '../../report/table.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { printLine, printText } from '../print.ts';
import { thresholdText } from '../verdict.ts';

export async function run(args: Arguments): Promise<void> {
  const [path] = args.positionals;
  if (!path) throw new UsageError('info needs a model file.', 'raad info MODEL');
  const bytes = await readBytes(path);
  const state = await readModel(bytes, path);
  const { networks, quantiles, placement, region, tiling, filter, threshold, calibration, provenance, quantization } =
    state;
  const { size, side, padding, mapSide, channels } = networks;
  const parts = {
    teacher: networks.teacher,
    ...(networks.bank ? { memory: networks.bank } : { student: networks.student, autoencoder: networks.autoencoder }),
  };
  const parameters = Object.fromEntries(
    Object.entries(parts).map(([name, network]) => [name, parameterCount(network.parameters)]),
  );
  if (args.flag('json')) {
    const all = {
      file: path,
      bytes: bytes.length,
      size,
      resolution: side,
      padding,
      cells: mapSide,
      channels,
      parameters,
    };
    const layers = layerRows(state);
    printText(
      JSON.stringify(
        {
          ...all,
          quantiles,
          placement,
          region,
          tiles: tiling?.value,
          filter: filter?.value ?? null,
          threshold: threshold ?? null,
          calibration: calibration ?? null,
          provenance,
          layers,
        },
        null,
        2,
      ),
    );
    return;
  }
  const whole = networks.bank ? `memory bank of ${networks.bank.size} features` : 'detector';
  const kind = quantization ? `quantized ${whole}` : whole;
  printLine(`${basename(path)}: PDN-${size.toUpperCase()} ${kind}, ${side}x${side} px, ${bytes.length} bytes`);
  const around = padding === 'none' ? '' : `, ${padding === 'reflect' ? 'border mirrored' : `padded with ${padding}`}`;
  const { rows, columns } = gridOf(state);
  printLine(`  map ${columns}x${rows}, ${channels} channels, placement ${placement}${around}`);
  if (tiling) printLine(`  looks at images of ${tiling.value.width}x${tiling.value.height} px in tiles`);
  if (region) {
    const corners = region.corners.map((corner) => corner.join(',')).join(' ');
    printLine(`  looks at ${corners} of images of ${region.width}x${region.height} px`);
  }
  if (filter)
    printLine(
      `  map filter: ${Object.values(filter.value).join(', ')}${filter.kind === 'gaussian' ? ' positions' : ' images'}`,
    );
  if (threshold) {
    printLine(`  ${thresholdText(state)}`);
  }
  const range = (pair: readonly number[]) => pair.map((value) => value.toPrecision(4)).join(' .. ');
  printLine(
    `  map quantiles 0.9 .. 0.995: student ${range(quantiles.studentTeacher)}, autoencoder ${range(quantiles.autoencoder)}`,
  );
  printLine(
    `  ${Object.entries(provenance)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}`,
  );
  printText(metricsTable(layerRows(state)));
  const packed = [...layerBytesOf(state).values()].reduce((sum, bytes) => sum + bytes, 0);
  const floats = [...quantizableLayers(networks).values()].reduce((sum, { weight }) => sum + 4 * weight.data.length, 0);
  printLine(`  weights of all convolutions: ${packed} bytes, ${((100 * packed) / floats).toFixed(1)} % of float`);
}

const FLOAT_LAYER: LayerPlan = { weights: 32, activations: 32, granularity: 'channel' };

function layerBytesOf({ networks, quantization }: DetectorState): Map<string, number> {
  return new Map(
    [...quantizableLayers(networks)].map(([name, { weight }]) => [
      name,
      layerBytes(weight.type.shape, quantization?.get(name)?.plan ?? FLOAT_LAYER),
    ]),
  );
}

/** A row per convolution: its width, its bytes, and the range of its scales. */
function layerRows(state: DetectorState) {
  const bytes = layerBytesOf(state);
  return [...quantizableLayers(state.networks)].map(([layer, { weight }]) => {
    const { plan = FLOAT_LAYER, weights, input } = state.quantization?.get(layer) ?? {};
    const scales = extent(weights?.scales ?? []);
    const shown = (value: number) => value.toPrecision(3);
    return {
      layer,
      shape: weight.type.shape.join('x'),
      parameters: weight.data.length,
      weights: plan.weights,
      activations: plan.activations,
      bytes: bytes.get(layer)!,
      scales: weights ? `${shown(scales.low)} .. ${shown(scales.high)}` : '-',
      input: input ? `${shown(input.scale)}, zero ${input.zeroPoint}` : (plan.range ?? '-'),
    };
  });
}

import { basename } from 'node:path';
import { readModel } from '../../model/modelFile.ts';
import { parameterCount } from '../../model/networks.ts';
import { readBytes } from '../../node/files.ts';
import { metricsTable } from '../../report/table.ts';
import { type Arguments, type OptionTable, UsageError } from '../arguments.ts';

export const usage = `raad info MODEL
  Says what a model file holds.

  --json                 as JSON`;

export const options: OptionTable = { json: { type: 'boolean' } };

export async function run(args: Arguments): Promise<void> {
  const [path] = args.positionals;
  if (!path) throw new UsageError('info needs a model file.', 'raad info MODEL');
  const bytes = await readBytes(path);
  const { networks, quantiles, placement, threshold, provenance } = await readModel(bytes, path);
  const { size, side, cells, channels } = networks;
  const parts = { teacher: networks.teacher, student: networks.student, autoencoder: networks.autoencoder };
  const parameters = Object.fromEntries(
    Object.entries(parts).map(([name, network]) => [name, parameterCount(network.parameters)]),
  );
  if (args.flag('json')) {
    const all = { file: path, bytes: bytes.length, size, resolution: side, cells, channels, parameters };
    console.log(JSON.stringify({ ...all, quantiles, placement, threshold: threshold ?? null, provenance }, null, 2));
    return;
  }
  console.log(`${basename(path)}: PDN-${size.toUpperCase()} detector, ${side}x${side} px, ${bytes.length} bytes`);
  console.log(`  map ${cells}x${cells} cells, ${channels} channels, placement ${placement}`);
  if (threshold) {
    const { value, promised, images } = threshold;
    console.log(
      `  threshold ${value.toFixed(4)}: at most ${(promised * 100).toFixed(1)} % false alarms, from ${images} held-out images`,
    );
  }
  const range = (pair: readonly number[]) => pair.map((value) => value.toPrecision(4)).join(' .. ');
  console.log(
    `  map quantiles 0.9 .. 0.995: student ${range(quantiles.studentTeacher)}, autoencoder ${range(quantiles.autoencoder)}`,
  );
  console.log(
    `  ${Object.entries(provenance)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}`,
  );
  console.log(
    metricsTable(
      Object.values(parts).flatMap((network) =>
        network.parameters.map(({ name, type }) => ({
          tensor: name,
          shape: type.shape.join('x'),
          parameters: type.shape.reduce((a, b) => a * b, 1),
          bits: 32,
        })),
      ),
    ),
  );
}

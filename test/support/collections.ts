import { cpSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { writeInspectionSet } from '../../src/node/generated.ts';
import { writeTree } from './temporary.ts';

/** A generated data set of few small images. @returns its folder */
export async function writeSmallSet(folder: string, seed: number): Promise<string> {
  const images = { size: 96, train: 5, testGood: 2, testPerDefect: 1 };
  await writeInspectionSet(folder, { part: 'biscuit', seed, ...images });
  return folder;
}

/** Makes a set of MVTec AD's layout one of LOCO's: one kind of defect becomes a logical anomaly. */
function toLoco(folder: string): void {
  const [kind] = readdirSync(join(folder, 'test')).filter((name) => name !== 'good');
  renameSync(join(folder, 'test', kind!), join(folder, 'test/logical_anomalies'));
  for (const mask of readdirSync(join(folder, 'ground_truth', kind!))) {
    const target = join(folder, 'ground_truth/logical_anomalies', mask.replace(/(_mask)?\.png$/, ''));
    mkdirSync(target, { recursive: true });
    renameSync(join(folder, 'ground_truth', kind!, mask), join(target, '000.png'));
  }
  const defect = { defect_name: 'any', pixel_value: 255, saturation_threshold: 0.5, relative_saturation: true };
  writeTree(folder, { 'defects_config.json': JSON.stringify([defect]) });
}

/** Copies a set of MVTec AD's layout into a collection of VisA's. */
function copyToVisa(source: string, visa: string): void {
  const lines = ['object,split,label,image,mask'];
  const copy = (from: string, to: string) => cpSync(join(source, from), join(visa, to));
  const images = (path: string) => readdirSync(join(source, path)).map((file) => `${path}/${file}`);
  for (const file of [...images('train/good'), ...images('test/good')]) {
    const to = `candle/Data/Images/Normal/${file.replaceAll('/', '_')}`;
    copy(file, to);
    lines.push(`candle,${file.startsWith('train') ? 'train' : 'test'},normal,${to},`);
  }
  for (const name of readdirSync(join(source, 'ground_truth'))) {
    const [file] = images(`test/${name}`);
    const [mask] = images(`ground_truth/${name}`);
    copy(file!, `candle/Data/Images/Anomaly/${name}.png`);
    copy(mask!, `candle/Data/Masks/Anomaly/${name}.png`);
    lines.push(`candle,test,anomaly,candle/Data/Images/Anomaly/${name}.png,candle/Data/Masks/Anomaly/${name}.png`);
  }
  writeTree(visa, { 'split_csv/1cls.csv': `${lines.join('\n')}\n`, 'candle/image_anno.csv': '' });
}

/** Small collections in the layouts of MVTec AD (`bottle`), LOCO (`box`) and VisA (`candle`). @returns their folders */
export async function writeCollections(root: string): Promise<string[]> {
  await writeSmallSet(join(root, 'ad/bottle'), 1);
  toLoco(await writeSmallSet(join(root, 'loco/box'), 2));
  copyToVisa(await writeSmallSet(join(root, 'parts'), 3), join(root, 'visa'));
  return ['ad', 'loco', 'visa'].map((name) => join(root, name));
}

/** Their sets with the layouts that they are recognized by. */
export const COLLECTED = [
  ['bottle', 'mvtec-ad'],
  ['box', 'mvtec-loco'],
  ['candle', 'visa'],
] as const;

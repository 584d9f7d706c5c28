import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { rowPaths } from '../src/doctor/paths.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import type { Caps } from '../src/engine/caps.ts';
import type { Kernel } from '../src/engine/graph.ts';
import { lower } from '../src/engine/lower.ts';
import { engine } from './support/gpu.ts';
import { isTested, testedRows } from './support/planned.ts';

const gpu = await engine();
const matrices = [
  { componentType: 'i8', resultComponentType: 'i32', M: 16, N: 16, K: 32 },
  { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 },
] as Caps['subgroupMatrixConfigs'];
const CARD = maskCaps(gpu.caps, {
  ...{ isCpu: false, kind: 'gpu', subgroups: true, subgroupMinSize: 32, subgroupMaxSize: 32 },
  ...{ f16: true, packedDot: true, subgroupMatrixConfigs: matrices },
  limits: { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 },
});

/** A template with all that it includes, without comments. */
function textOf(file: string): string {
  const text = readFileSync(new URL(`../shaders/${file}`, import.meta.url), 'utf8').replace(/\/\/.*$/gm, '');
  return text.replace(/^\s*#include (\w+)/gm, (_, name: string) => textOf(`snippets/${name}.wgsl`));
}

function kernelsOf(caps: Caps): Kernel[] {
  const target = { caps, precision: 'f16' } as const;
  return testedRows.flatMap((prepared) =>
    rowPaths(prepared, target, isTested).flatMap(({ variants }) =>
      Array.from(lower({ outputs: { y: prepared.output }, variants }, target).kernels.values(), ({ kernel }) => kernel),
    ),
  );
}

test('kernels give their templates the defines and parameters that these use, and no others', () => {
  const given = new Map<string, { defines: Set<string>; params: Set<string> }>();
  for (const { shader, defines = {}, params = {} } of [gpu.caps, CARD].flatMap(kernelsOf)) {
    const known = given.get(shader.name) ?? { defines: new Set(), params: new Set() };
    given.set(shader.name, known);
    for (const name of Object.keys(defines)) known.defines.add(name);
    for (const name of Object.keys(params)) known.params.add(name);
  }
  expect(given.size).toBeGreaterThan(60);
  const unused: string[] = [];
  for (const [file, { defines, params }] of given) {
    const text = textOf(file);
    const expressions = (text.match(/\$\{[^}]*\}|^\s*#(if|for) .*$/gm) ?? []).join('\n');
    for (const name of defines) if (!new RegExp(`\\b${name}\\b`).test(expressions)) unused.push(`${file}: ${name}`);
    for (const name of params) if (!text.includes(`params.${name}`)) unused.push(`${file}: params.${name}`);
  }
  expect(unused).toEqual([]);
});

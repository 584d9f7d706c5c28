import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { randomSource } from '../src/doctor/values.ts';
import {
  codeRange,
  dequantizeWeights,
  packCodes,
  packedBytes,
  quantizeWeights,
  unpackCodes,
  WEIGHT_BITS,
} from '../src/formats/weightCodes.ts';
import { Networks } from '../src/networks/networks.ts';
import { bitPlanText, layerBytes, parseBitPlan, quantizableLayers, uniformPlan } from '../src/quantization/bitPlan.ts';

const networks = new Networks('xs', 128);

function weights(shape: readonly number[], seed: number): Float32Array {
  const next = randomSource(seed);
  const length = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length }, () => Math.sqrt(-2 * Math.log(next() + 1e-9)) * Math.cos(2 * Math.PI * next()));
}

describe('weights', () => {
  const shape = [6, 8, 3, 3];
  const values = weights(shape, 1);
  const power = values.reduce((sum, value) => sum + value ** 2, 0);
  const relativeError = (bits: (typeof WEIGHT_BITS)[number], groupSize?: number) => {
    const quantized = quantizeWeights(values, shape, { bits, groupSize });
    const back = dequantizeWeights(quantized);
    return back.reduce((sum, value, i) => sum + (value - values[i]!) ** 2, 0) / power;
  };

  for (const bits of WEIGHT_BITS) {
    test(`${bits} bits: codes in range, the best scale of the search, packed and back`, () => {
      const { codes, scales } = quantizeWeights(values, shape, { bits });
      const [least, most] = codeRange(bits);
      expect(scales).toHaveLength(6);
      expect(Math.min(...codes)).toBeGreaterThanOrEqual(least);
      expect(Math.max(...codes)).toBeLessThanOrEqual(most);
      const bytes = packCodes(codes, bits);
      expect(bytes.length).toBe(packedBytes(codes.length, bits));
      expect(bytes.length).toBe(Math.ceil((codes.length * bits) / 32) * 4);
      expect(unpackCodes(bytes, codes.length, bits)).toEqual(codes);
    });
  }

  test('the error is that of a uniform quantizer of normal values (Max 1960), and falls with every bit', () => {
    const errors = WEIGHT_BITS.map((bits) => relativeError(bits));
    // Mean squared errors of optimal uniform quantizers: 2 bits 0.119, 3 bits 0.037, 4 bits 0.0115, with an even number of
    // levels around zero; few values per scale do a little better.
    expect(errors[0]).toBeLessThan(0.13);
    expect(errors[1]).toBeLessThan(0.05);
    expect(errors[2]).toBeLessThan(0.015);
    errors.slice(1).forEach((error, i) => {
      expect(error).toBeLessThan(errors[i]! / 2);
    });
  });

  test('groups of input channels lower the error', () => {
    expect(relativeError(3, 2)).toBeLessThan(relativeError(3));
    expect(quantizeWeights(values, shape, { bits: 3, groupSize: 2 }).scales).toHaveLength(24);
  });

  test('2 bits are the four half steps', () => {
    const steps = Float32Array.of(-3, -1, 1, 3);
    const quantized = quantizeWeights(steps, [1, 4, 1, 1], { bits: 2 });
    expect([...quantized.codes]).toEqual([-2, -1, 0, 1]);
    expect([...dequantizeWeights(quantized)]).toEqual([...steps]);
  });

  test('zeros stay zeros', () => {
    for (const bits of WEIGHT_BITS) {
      const back = dequantizeWeights(quantizeWeights(new Float32Array(4), [1, 4, 1, 1], { bits }));
      for (const value of back) expect(Math.abs(value)).toBeLessThan(1e-30);
    }
  });

  test('the stream of bits, byte by byte', () => {
    // 3 bits, codes -4, -3, 3, 0 as 0, 1, 7, 4: 000, 001, 111, 100 from the least significant bit on.
    expect([...packCodes(Int8Array.of(-4, -3, 3, 0), 3)]).toEqual([0b11001000, 0b1001, 0, 0]);
  });

  test('what is refused', () => {
    expect(() => quantizeWeights(values, shape, { bits: 9 as never })).toThrow('weights cannot have 9 bits');
    expect(() => quantizeWeights(values, shape, { bits: 4, groupSize: 3 })).toThrow('groups of 3 do not divide 8');
    expect(() => quantizeWeights(Float32Array.of(Number.NaN), [1, 1, 1, 1], { bits: 4 })).toThrow('not finite');
    expect(() => unpackCodes(new Uint8Array(8), 10, 3)).toThrow('10 codes of 3 bits take 4 bytes, not 8');
    expect(() => unpackCodes(Uint8Array.of(255, 0, 0, 0), 1, 8)).toThrow('code 128 does not exist in 8 bits');
    expect(() => unpackCodes(Uint8Array.of(0, 1, 0, 0), 1, 8)).toThrow('bits behind the last code');
  });
});

describe('bit plans', () => {
  const plan = uniformPlan(networks, { weights: 4, activations: 8 });
  const WIDTHS = { weights: 4, activations: 8, granularity: 'channel' } as const;
  const twice = (name: string) => change('teacher.conv2', WIDTHS).replace('"layers":{', `"layers":{${name}:null,`);
  const change = (layer: string, value: unknown) =>
    JSON.stringify({ ...plan, layers: { ...plan.layers, [layer]: value } });

  test('name every convolution and survive their own text', () => {
    expect(Object.keys(plan.layers)).toEqual([...quantizableLayers(networks).keys()]);
    expect(Object.keys(plan.layers)).toHaveLength(4 + 4 + 6 + 8);
    expect(parseBitPlan(bitPlanText(plan, networks), networks)).toEqual(plan);
    const spoilt = { ...plan, layers: { 'teacher.conv1': { ...WIDTHS, weights: Number.NaN as 4 } } };
    expect(() => bitPlanText(spoilt, networks)).toThrow('weights of null');
  });

  test('bytes of a layer: bits / 32 of float, and a float per scale', () => {
    const shape = [64, 32, 4, 4];
    const bytes = (weights: 3 | 16 | 32, granularity: 'channel' | { groupSize: number } = 'channel') =>
      layerBytes(shape, { weights, activations: 8, granularity });
    expect(bytes(32)).toBe(131072);
    expect(bytes(16)).toBe(65536);
    expect(bytes(3)).toBe((131072 * 3) / 32 + 256);
    expect(bytes(3, { groupSize: 8 })).toBe((131072 * 3) / 32 + 1024);
  });

  for (const [what, text, message] of [
    ['no JSON', '{', 'is not JSON'],
    ['something else', '[]', 'is not a bit plan'],
    ['a newer one', JSON.stringify({ ...plan, version: 2 }), 'has version 2, expected 1'],
    ['an unknown layer', change('teacher.conv9', {}), 'names the layer "teacher.conv9"'],
    ['a width', change('teacher.conv1', { weights: 9, activations: 8, granularity: 'channel' }), 'weights of 9'],
    [
      'activations',
      change('teacher.conv1', { weights: 4, activations: 7, granularity: 'channel' }),
      'activations of 7',
    ],
    [
      'a group',
      change('teacher.conv2', { weights: 4, activations: 8, granularity: { groupSize: 5 } }),
      'a multiple of 4 that divides 32',
    ],
    ['nothing', change('teacher.conv2', null), 'weights of undefined'],
    ['no layer', JSON.stringify({ ...plan, layers: {} }), 'the bit plan names no layer'],
    ['a list of layers', JSON.stringify({ ...plan, layers: [] }), 'has layers [], which is no object'],
    ['a field', JSON.stringify({ ...plan, bits: 4 }), 'has the unknown field "bits"'],
    ['a group of more', change('teacher.conv2', { ...WIDTHS, granularity: { groupSize: 8, axis: 1 } }), '"axis":1'],
    ['a field of a layer', change('teacher.conv2', { ...WIDTHS, bits: 4 }), 'teacher.conv2 the unknown field "bits"'],
    ['a layer twice', twice('"teacher.conv2"'), 'has the key "teacher.conv2" twice'],
    ['a layer twice in two spellings', twice('"teacher.conv\\u0032"'), 'has the key "teacher.conv2" twice'],
  ] as const) {
    test(`${what} is refused with a sentence`, () => {
      try {
        parseBitPlan(text, networks);
        expect.fail('it was accepted');
      } catch (error) {
        const { message: said, fix } = error as { message: string; fix?: string };
        expect(`${said} ${fix}`).toContain(message);
      }
    });
  }

  test('the schema names the same widths', () => {
    const schema = JSON.parse(readFileSync(new URL('../docs/bit-plan.schema.json', import.meta.url), 'utf8'));
    const { weights: widths } = schema.properties.layers.additionalProperties.properties;
    expect(widths.enum).toEqual([...WEIGHT_BITS, 16, 32]);
    const pattern = new RegExp(schema.properties.layers.propertyNames.pattern);
    for (const name of Object.keys(plan.layers)) expect(name).toMatch(pattern);
  });
});

describe('balanced rounding', () => {
  for (const bits of [8, 4, 2] as const) {
    test(`${bits} bits: errors sum to at most half a step per input channel and filter, save what is clipped`, () => {
      const shape = [5, 6, 4, 4];
      const values = weights(shape, 4).map((value) => Math.max(-1.5, Math.min(1.5, value)));
      const error = (rounding: 'balanced' | 'nearest') => {
        const { codes, scales } = quantizeWeights(values, shape, { bits, rounding });
        const [least, most] = codeRange(bits);
        const offset = bits === 2 ? 0.5 : 0;
        const errors = Array.from(codes, (code, i) => code + offset - values[i]! / scales[Math.floor(i / 96)]!);
        expect(Math.min(...codes)).toBeGreaterThanOrEqual(least);
        expect(Math.max(...codes)).toBeLessThanOrEqual(most);
        const sums = (length: number) =>
          Array.from({ length: errors.length / length }, (_, k) =>
            Math.abs(errors.slice(k * length, (k + 1) * length).reduce((sum, each) => sum + each, 0)),
          );
        return {
          kernel: Math.max(...sums(16)),
          filter: Math.max(...sums(96)),
          single: Math.max(...errors.map(Math.abs)),
        };
      };
      const [balanced, nearest] = [error('balanced'), error('nearest')];
      // A kernel that gave one step to its filter may be off by one and a half.
      expect(balanced.kernel).toBeLessThanOrEqual(bits === 2 ? nearest.kernel : 1.5);
      expect(balanced.filter).toBeLessThanOrEqual(bits === 2 ? nearest.filter : 0.5 + 1e-6);
      expect(balanced.single).toBeLessThanOrEqual(nearest.single + 1);
    });
  }
});

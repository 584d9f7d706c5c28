import { describe, expect, test } from 'vitest';
import type { Caps } from '../src/engine/caps.ts';
import { f32, i32, input, makeNode, type Node, type Op, Parameter, u32 } from '../src/engine/graph.ts';
import { assertFits, type BufferLimits, layOut } from '../src/engine/layout.ts';
import { lower } from '../src/engine/lower.ts';
import { packUniforms } from '../src/engine/uniforms.ts';

// No device: all of it is arithmetic.
const LIMITS: BufferLimits = {
  maxStorageBufferBindingSize: 2 ** 20,
  minStorageBufferOffsetAlignment: 256,
  maxBufferSize: 2 ** 21,
};
const caps = { isCpu: true, limits: {} } as unknown as Caps;

const shader = { name: 'none.wgsl', source: '' };
const kernel = () => ({ shader, grid: [1] as const });
const reference = () => new Float64Array();
/** Takes any inputs and gives what the first one is. */
const plain: Op<null> = { name: 'plain', infer: ([x]) => x!, reference, variants: [{ name: 'one', kernel }] };
const continuing: Op<null> = { ...plain, name: 'continuing', continues: () => 0 };
const half: Op<{ readonly at: number }> = {
  name: 'half',
  infer: ([x]) => ({ shape: [x!.shape[0]! / 2], dtype: 'f32' }),
  reference,
  part: (node) => node.attrs.at,
  variants: [],
};
const update: Op<null> = { ...plain, name: 'update', updates: [0] };

const node = (...inputs: Node[]) => makeNode(plain, inputs, null);
const parameter = (name: string, length: number) => new Parameter(name, { shape: [length], dtype: 'f32' });
const laidOut = (outputs: Record<string, Node>, effects: Node[] = [], limits = LIMITS) =>
  layOut(lower({ outputs, effects }, { caps }), limits);

describe('a layout', () => {
  test('computes once what depends on parameters that nothing updates', () => {
    const [fixed, trained] = [parameter('fixed', 64), parameter('trained', 64)];
    const packed = node(fixed.node);
    const changing = node(trained.node);
    const y = node(node(packed, input('x', [64])), changing);
    const { prologue, steps, places, slabBytes } = laidOut({ y }, [makeNode(update, [trained.node, y], null)]);
    expect(prologue).toHaveLength(1);
    expect(steps).toHaveLength(4);
    expect(places.get(prologue[0]!)!.storage).toMatchObject({ kind: 'kept' });
    expect(places.get(fixed.node)!.storage).toEqual({ kind: 'parameter', parameter: fixed });
    // An update has no value of its own.
    expect(steps.filter((step) => !places.has(step)).map(({ op }) => op.name)).toEqual(['update']);
    expect(slabBytes.every((bytes) => bytes % 256 === 0)).toBe(true);
  });

  test('puts what continues a value into its place, and a part into the whole', () => {
    const whole = node(input('x', [256]));
    const upper = makeNode(half, [whole], { at: 128 });
    const more = makeNode(continuing, [node(upper), whole], null);
    const y = node(more, upper);
    const { places, steps, lowered } = laidOut({ y });
    const of = (name: string) => [...places].find(([{ op }]) => op.name === name)!;
    const [part, place] = of('half');
    const around = places.get(part.inputs[0]!)!;
    expect(place).toEqual({ storage: around.storage, offset: around.offset + 512, bytes: 512 });
    const [next, its] = of('continuing');
    expect(its).toEqual(places.get(next.inputs[0]!));
    expect(steps).not.toContain(part);
    // No dispatch writes a slab that it reads, unless it goes on with what it reads.
    for (const step of steps) {
      const written = places.get(step)!.storage;
      const read = step.inputs
        .filter((_, i) => step.op.continues?.(step) !== i)
        .map((each) => places.get(each)!.storage);
      expect(read.filter(({ kind }) => kind === 'slab')).not.toContainEqual(written);
    }
    expect(places.has(lowered.outputs['y']!)).toBe(true);
  });

  test('keeps the whole alive while a part of it is read', () => {
    const whole = node(input('x', [256]));
    const upper = makeNode(half, [whole], { at: 128 });
    let long = node(input('z', [256]));
    for (let i = 0; i < 4; i++) long = node(long);
    const { places, steps } = laidOut({ y: node(upper, long) });
    const kept = places.get(steps.find((step) => step.inputs[0]!.label === 'x')!)!;
    const others = steps.filter((step) => !step.inputs.some(({ label }) => label === 'x')).slice(0, -1);
    for (const other of others) {
      const place = places.get(other)!;
      const isApart = place.storage !== kept.storage && JSON.stringify(place.storage) !== JSON.stringify(kept.storage);
      expect(isApart || place.offset >= kept.offset + kept.bytes || kept.offset >= place.offset + place.bytes).toBe(
        true,
      );
    }
  });

  test('refuses what cannot be bound, and updates of what is no parameter', () => {
    expect(() => laidOut({ y: node(input('x', [2 ** 18 + 1])) })).toThrow(
      /takes 1\.0 MiB, more than the 1\.0 MiB that this adapter can bind at once\./,
    );
    const y = node(input('x', [64]));
    expect(() => laidOut({ y }, [makeNode(update, [y], null)])).toThrow(
      'update: input 0 must be a parameter to be updated.',
    );
    expect(() => laidOut({ y: node(input('x', [64]), input('x', [32])) })).toThrow(
      "the graph has two inputs named 'x'.",
    );
    const odd = node(makeNode(half, [node(input('x', [96]))], { at: 48 }));
    expect(() => laidOut({ y: odd })).toThrow(/inside another value; this adapter binds every 256 bytes\./);
  });

  test('counts memory that is there already as none', () => {
    const w = parameter('w', 2 ** 16);
    const layout = laidOut({ y: node(node(w.node), input('x', [2 ** 16])) });
    const fits = (bytes: number, isHeld: boolean) => () => assertFits(layout, LIMITS, bytes, () => isHeld);
    // Input, what is computed once, the result, and the parameter: 256 KiB each.
    expect(fits(4 * 2 ** 18, false)).not.toThrow();
    expect(fits(4 * 2 ** 18 - 1, false)).toThrow('the plan needs 1.0 MiB of memory');
    expect(fits(3 * 2 ** 18, true)).not.toThrow();
  });
});

test('uniforms lie at aligned places in the order of their types', () => {
  const [a, b, c] = [node(input('a', [1])), node(input('b', [1])), node(input('c', [1]))];
  const params = { count: u32(7), factor: f32(0.5), first: i32(-3) };
  const { data, places } = packUniforms(
    [
      [a, { shader, grid: [1], params }],
      [b, { shader, grid: [1] }],
      [c, { shader, grid: [1], params: { factor: f32(-2) } }],
    ],
    256,
  );
  expect(places).toEqual(
    new Map([
      [a, { offset: 0, size: 12 }],
      [c, { offset: 256, size: 4 }],
    ]),
  );
  const view = new DataView(data);
  expect([view.getUint32(0, true), view.getFloat32(4, true), view.getInt32(8, true)]).toEqual([7, 0.5, -3]);
  expect(view.getFloat32(256, true)).toBe(-2);
});

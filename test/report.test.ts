import { describe, expect, test } from 'vitest';
import { UserError } from '../src/errors.ts';
import { INFERNO } from '../src/math/inferno.ts';
import { Canvas, fitText, resample } from '../src/report/canvas.ts';
import { ticks } from '../src/report/colormap.ts';
import { contactSheet } from '../src/report/contactSheet.ts';
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphInk, hasGlyph, textWidth } from '../src/report/font.ts';
import { formatScore, heatmapLayout, overlayHeatmap, renderHeatmap } from '../src/report/heatmap.ts';
import { metricsTable } from '../src/report/table.ts';

const PRINTABLE = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));

describe('font', () => {
  const shape = (character: string) =>
    Array.from({ length: GLYPH_WIDTH * GLYPH_HEIGHT }, (_, i) =>
      glyphInk(character, i % GLYPH_WIDTH, Math.floor(i / GLYPH_WIDTH)),
    ).join('');

  test('has a different glyph for every printable ASCII character', () => {
    expect(PRINTABLE.filter((character) => !hasGlyph(character))).toEqual([]);
    expect(new Set(PRINTABLE.map(shape)).size).toBe(PRINTABLE.length);
    expect(shape(' ')).not.toContain('1');
  });

  test('draws a box for what it lacks', () => {
    expect(hasGlyph('é')).toBe(false);
    expect(shape('é')).toBe(shape('字'));
    expect(shape('é')).not.toBe(shape(' '));
  });

  test('reads as the letter it stands for', () => {
    const rows = Array.from({ length: 7 }, (_, row) =>
      Array.from({ length: GLYPH_WIDTH }, (_, column) => (glyphInk('R', column, row) ? '#' : '.')).join(''),
    );
    expect(rows).toEqual(['####.', '#...#', '#...#', '####.', '#.#..', '#..#.', '#...#']);
  });

  test('measures and shortens text', () => {
    expect(textWidth('abc', 2)).toBe(34);
    expect(textWidth('', 2)).toBe(0);
    expect(fitText('abcdef', textWidth('abcd', 1), 1)).toBe('ab..');
    expect(fitText('abc', 100, 1)).toBe('abc');
  });
});

describe('canvas', () => {
  test('draws text at scale 1 pixel for pixel and clips it', () => {
    const canvas = new Canvas(8, 4, [0, 0, 0]);
    canvas.drawText('R', 1, 0, 1, [255, 0, 0]);
    const inked = Array.from({ length: 8 }, (_, x) => canvas.data[3 * x]! > 0);
    expect(inked).toEqual([false, true, true, true, true, false, false, false]);
  });

  test('resamples without shifting or scaling values', () => {
    expect([...resample([0, 10, 20, 30], 4, 1, 1, 2, 1)]).toEqual([5, 25]);
    expect([...resample([0, 8], 2, 1, 1, 4, 1)]).toEqual([0, 2, 6, 8]);
    expect([...resample([1, 2, 3, 4, 5, 6], 1, 2, 3, 1, 1)]).toEqual([2.5, 3.5, 4.5]);
  });
});

describe('color scale', () => {
  test('runs from dark to light', () => {
    expect(INFERNO).toHaveLength(768);
    const luma = (i: number) => 0.3 * INFERNO[3 * i]! + 0.6 * INFERNO[3 * i + 1]! + 0.1 * INFERNO[3 * i + 2]!;
    for (let i = 16; i < 256; i += 16) expect(luma(i)).toBeGreaterThan(luma(i - 16));
  });

  test('has round ticks', () => {
    expect(ticks(0, 1, 5).map((tick) => tick.label)).toEqual(['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']);
    expect(ticks(-30, 120, 4).map((tick) => tick.label)).toEqual(['0', '50', '100']);
    expect(ticks(-0.02, 0.02, 2).map((tick) => tick.label)).toEqual(['-0.02', '0.00', '0.02']);
  });

  test('scores keep three digits', () => {
    expect([0, 0.12345, 1.2345, 12.345, 1234.5, 0.00001].map(formatScore)).toEqual([
      '0.000',
      '0.123',
      '1.23',
      '12.3',
      '1235',
      '1.0e-5',
    ]);
  });
});

/** A gray picture under a map that rises from left to right, 0 to 1. */
function ramp(width: number, height: number) {
  return {
    image: { width, height, data: new Uint8Array(width * height * 3).fill(128) },
    map: Float32Array.from({ length: width * height }, (_, i) => (i % width) / (width - 1)),
    threshold: 0.5,
    low: 0,
    high: 1,
  };
}

describe('heat map', () => {
  test('is dim picture where cold and color where hot', () => {
    const { data, width, height } = overlayHeatmap(ramp(101, 20));
    expect([width, height]).toEqual([101, 20]);
    const pixel = (x: number) => [...data.subarray(3 * (10 * 101 + x), 3 * (10 * 101 + x) + 3)];
    const [red, green, blue] = pixel(0);
    expect(Math.max(red!, green!, blue!)).toBeLessThan(128);
    expect(Math.abs(red! - blue!)).toBeLessThan(12);
    const hot = pixel(100);
    const last = INFERNO.subarray(765);
    hot.forEach((value, channel) => {
      expect(Math.abs(value - last[channel]!)).toBeLessThan(40);
    });
  });

  test('draws the contour where the map crosses the threshold, and only there', () => {
    const { data } = overlayHeatmap(ramp(101, 20));
    for (let x = 0; x < 101; x++) {
      const i = 3 * (7 * 101 + x);
      const white = Math.min(data[i]!, data[i + 1]!, data[i + 2]!) > 220;
      expect(white, `column ${x}`).toBe(x === 50);
    }
  });

  test('draws no contour on a map that stays below the threshold', () => {
    const input = ramp(40, 40);
    const below = overlayHeatmap({ ...input, map: input.map.map(() => 0.4) });
    expect(Math.max(...below.data)).toBeLessThan(200);
  });

  test('outlines the ground truth', () => {
    const input = ramp(40, 40);
    const mask = new Uint8Array(1600);
    for (let y = 10; y < 20; y++) mask.fill(255, y * 40 + 5, y * 40 + 15);
    const plain = overlayHeatmap(input).data;
    const outlined = overlayHeatmap({ ...input, mask }).data;
    const changed = (x: number, y: number) => plain[3 * (y * 40 + x) + 2] !== outlined[3 * (y * 40 + x) + 2];
    expect(changed(5, 15)).toBe(true);
    expect(changed(10, 10)).toBe(true);
    expect(changed(10, 15)).toBe(false);
    expect(changed(2, 2)).toBe(false);
  });

  test('is framed with a color bar beside it', () => {
    const layout = heatmapLayout(256, 200);
    const input = ramp(256, 200);
    const picture = renderHeatmap({ ...input, title: 'test/scratch/000.png', score: 0.8, verdict: 'anomalous' });
    expect(layout.zoom).toBe(2);
    expect([picture.width, picture.height]).toEqual([layout.width, layout.height]);
    const at = (x: number, y: number) => [
      ...picture.data.subarray(3 * (y * picture.width + x), 3 * (y * picture.width + x) + 3),
    ];
    const bar = layout.left + 512 + 16 + 9;
    expect(at(bar, layout.top)).toEqual([...INFERNO.subarray(765)]);
    expect(at(bar, layout.top + 399)).toEqual([...INFERNO.subarray(0, 3)]);
    // The threshold's mark crosses the bar at half its height.
    expect(at(bar, layout.top + 199)).toEqual([255, 255, 255]);
    expect(at(2, 2)).toEqual([20, 22, 26]);
  });

  test.each([
    [1, 500, 16],
    [1, 8000, 1],
    [4, 8192, 1],
    [1, 2 ** 20, 2 ** -5],
    [2 ** 20, 1, 2 ** -5],
    [8000, 6000, undefined],
    [20000, 13000, undefined],
    [100, 80, 4],
    [1, 1, 400],
  ])('%i x %i is drawn within bounds', (width, height, zoom) => {
    const layout = heatmapLayout(width, height);
    if (zoom !== undefined) expect(layout.zoom).toBe(zoom);
    expect(layout.overlay.width * layout.overlay.height).toBeLessThanOrEqual(2 ** 24);
    expect(Math.max(layout.overlay.width, layout.overlay.height)).toBeLessThanOrEqual(2 ** 15);
    expect(layout.width).toBeGreaterThanOrEqual(400);
    const proportion = layout.overlay.width / layout.overlay.height / (width / height);
    if (Math.min(layout.overlay.width, layout.overlay.height) > 50) expect(proportion).toBeCloseTo(1, 2);
  });

  test('strips are drawn, long ones shrunk', () => {
    for (const [width, height] of [
      [4, 800],
      [4, 2 ** 16],
    ] as const) {
      const strip = renderHeatmap(ramp(width, height));
      const layout = heatmapLayout(width, height);
      expect([strip.width, strip.height]).toEqual([layout.width, layout.height]);
    }
  });

  test('refuses maps of another size and empty ranges', () => {
    const input = ramp(20, 20);
    expect(() => overlayHeatmap({ ...input, map: new Float32Array(10) })).toThrow(UserError);
    expect(() => overlayHeatmap({ ...input, mask: new Uint8Array(3) })).toThrow(/mask has 3 values/);
    expect(() => renderHeatmap({ ...input, low: 1, high: 1 })).toThrow(/color range/);
  });
});

describe('contact sheet', () => {
  const row = (width: number, height: number, mask?: Uint8Array) => {
    const { image, map } = ramp(width, height);
    const verdict = mask ? ('anomalous' as const) : ('normal' as const);
    return { image, map, title: 'scratch 000', score: 1, verdict, mask };
  };
  const scale = { threshold: 0.5, low: 0, high: 1, thumbnail: 64 };

  test('is a grid of image, mask and map in groups', () => {
    const rows = [row(64, 64), row(64, 64, new Uint8Array(4096).fill(255)), row(128, 64)];
    const two = contactSheet(rows, scale);
    const one = contactSheet(rows, { ...scale, groups: 1 });
    expect(two.width).toBeGreaterThan(2 * 3 * 64);
    expect(one.width).toBeLessThan(two.width);
    expect(one.height - two.height).toBeGreaterThanOrEqual(64);
    // First thumbnail and the mask of the second group.
    const at = (x: number, y: number) => [...two.data.subarray(3 * (y * two.width + x), 3 * (y * two.width + x) + 3)];
    const top = 28 + 30 + 26;
    expect(at(28 + 32, top + 32)).toEqual([128, 128, 128]);
    expect(at(28 + 208 + 36 + 72 + 32, top + 32)).toEqual([230, 232, 235]);
  });

  test('needs rows and a sensible thumbnail', () => {
    expect(() => contactSheet([], scale)).toThrow(UserError);
    expect(() => contactSheet([row(64, 64)], { ...scale, thumbnail: 5 })).toThrow(/5 pixel/);
  });
});

test('metrics table aligns numbers to the right', () => {
  const text = metricsTable([
    { category: 'bracket', images: 9, auroc: 0.98123 },
    { category: 'biscuit', images: 1200, auroc: 1 },
    { category: 'mean', images: undefined, auroc: 0.99 },
  ]);
  expect(text).toMatchInlineSnapshot(`
    "──────────────────────────────
      category   images    auroc  
    ──────────────────────────────
      bracket         9   0.9812  
      biscuit      1200   1.0000  
      mean            -   0.9900  
    ──────────────────────────────"
  `);
});

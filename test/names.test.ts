import { describe, expect, test } from 'vitest';
import { distinctFileNames, safeFileName, safeFileNames } from '../src/data/names.ts';

describe('file names made from data', () => {
  test('names that are safe stay', () => {
    const names = ['bottle', 'lineA/cam1', 'metal nut', 'Teil-3_b', 'часть', 'ネジ', 'a.b.c'];
    expect(safeFileNames(names)).toEqual(names);
  });

  const hostile = [
    '../../X',
    '/etc/passwd',
    '..',
    '.',
    '',
    '/',
    'a/../../b',
    'a\\..\\b',
    'C:/x',
    'C:x',
    '.hidden',
    'x/.hidden/y',
    'trailing.',
    'trailing ',
    ' leading',
    'a\nb',
    'a\0b',
    '\u001b[31mred',
    'left\u202eright',
    'con',
    'NUL.png',
    'lpt1/x',
    'what?*"<>|',
    '\ud800',
    'n'.repeat(300),
    'ж'.repeat(300),
    '😀'.repeat(100),
  ];

  test('others lose what is unsafe', () => {
    const all = safeFileNames(hostile);
    for (const [i, name] of all.entries()) {
      expect(name, JSON.stringify(hostile[i])).not.toBe(hostile[i]);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
      expect(name, JSON.stringify(hostile[i])).not.toMatch(/[\u0000-\u001f\u007f\u202e<>:"|?*\\]|^\/|\/\/|\/$/);
      for (const part of name.split('/')) {
        expect(part).toMatch(/^[^.\s](.*[^.\s])?$/u);
        expect(part).not.toMatch(/^(con|nul|lpt1)(\.|$)/i);
        expect(Buffer.byteLength(part)).toBeLessThan(160);
      }
    }
    expect(safeFileName('../../X')).toMatch(/^X-[0-9a-f]{8}$/);
  });

  test('no two are one file, also where case and composition do not count', () => {
    const names = [
      ...hostile,
      ...hostile,
      'Part',
      'part',
      'part',
      'é',
      'e\u0301',
      'X',
      '../X',
      '../../X',
      'n'.repeat(301),
      'a?b',
      'a*b',
      'a_b',
    ];
    const all = safeFileNames(names).map((name) => name.normalize('NFC').toLowerCase());
    expect(new Set(all).size).toBe(names.length);
  });

  test('a name of its own does not depend on the others', () => {
    expect(safeFileNames(['../../X', 'bottle'])[0]).toBe(safeFileName('../../X'));
    expect(safeFileNames(hostile)[0]).toBe(safeFileName('../../X'));
  });

  test('images of equal and odd names', () => {
    const names = distinctFileNames(['a/..x.png', 'b/..x.png', 'c\n.png', `${'n'.repeat(250)}.png`]);
    expect(new Set(names).size).toBe(4);
    for (const name of names) expect(name).toMatch(/^[a-z0-9_][\w.-]{0,140}$/);
  });
});

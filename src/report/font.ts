/** A bitmap font for pictures: fresh machines and browsers without a page have no fonts to rely on. */

/** Columns of a glyph. */
export const GLYPH_WIDTH = 5;
/** Rows of a glyph: seven above the base line and two below. */
export const GLYPH_HEIGHT = 9;
/** Rows above the base line. */
export const BASELINE = 7;
/** Distance from one glyph to the next, columns. */
export const ADVANCE = 6;

/** A row per character in base 32, whose five bits are the columns from the left; missing rows are empty. */
const GLYPHS: Readonly<Record<string, string>> = {
  // biome-ignore format: a table reads best as one
  ' ': '',
  '!': '4444404',
  '"': 'aaa',
  '#': 'aavavaa',
  $: '4fke5u4',
  '%': 'op248j3',
  '&': 'cik8lid',
  "'": '444',
  '(': '2488842',
  ')': '8422248',
  '*': '04lel4',
  '+': '044v44',
  ',': '00000cc48',
  '-': '000v',
  '.': '00000cc',
  '/': '01248g',
  '0': 'ehjlphe',
  '1': '4c4444e',
  '2': 'eh1248v',
  '3': 'v2421he',
  '4': '26aiv22',
  '5': 'vgu11he',
  '6': '68guhhe',
  '7': 'v124888',
  '8': 'ehhehhe',
  '9': 'ehhf12c',
  ':': '0cc00cc',
  ';': '0cc00cc48',
  '<': '248g842',
  '=': '00v0v',
  '>': '8421248',
  '?': 'eh12404',
  '@': 'eh1dlle',
  A: 'ehhvhhh',
  B: 'uhhuhhu',
  C: 'ehggghe',
  D: 'sihhhis',
  E: 'vgguggv',
  F: 'vgguggg',
  G: 'ehgnhhf',
  H: 'hhhvhhh',
  I: 'e44444e',
  J: '72222ic',
  K: 'hikokih',
  L: 'ggggggv',
  M: 'hrllhhh',
  N: 'hhpljhh',
  O: 'ehhhhhe',
  P: 'uhhuggg',
  Q: 'ehhhlid',
  R: 'uhhukih',
  S: 'fgge11u',
  T: 'v444444',
  U: 'hhhhhhe',
  V: 'hhhhha4',
  W: 'hhhllla',
  X: 'hha4ahh',
  Y: 'hhha444',
  Z: 'v1248gv',
  '[': 'e88888e',
  '\\': '0g8421',
  ']': 'e22222e',
  '^': '4ah',
  _: '0000000v',
  '`': '842',
  a: '00e1fhf',
  b: 'ggmphhu',
  c: '00egghe',
  d: '11djhhf',
  e: '00ehvge',
  f: '698s888',
  g: '00fhhjd1e',
  h: 'ggmphhh',
  i: '40c444e',
  j: '2062222ic',
  k: 'ggikoki',
  l: 'c44444e',
  m: '00qllhh',
  n: '00mphhh',
  o: '00ehhhe',
  p: '00uhhpmgg',
  q: '00djhhf11',
  r: '00mpggg',
  s: '00fge1u',
  t: '88s8896',
  u: '00hhhjd',
  v: '00hhha4',
  w: '00hhlla',
  x: '00ha4ah',
  y: '00hhhjd1e',
  z: '00v248v',
  '{': '2448442',
  '|': '444444444',
  '}': '8442448',
  '~': '008l2',
};

/** Stands for every character the font lacks. */
const UNKNOWN = 'vhhhhhv';

/** Whether the font has a glyph of its own for a character. */
export function hasGlyph(character: string): boolean {
  return Object.hasOwn(GLYPHS, character);
}

/** 1 where a glyph has ink and 0 elsewhere, also outside its 5 x 9 box. */
export function glyphInk(character: string, column: number, row: number): 0 | 1 {
  if (column < 0 || column >= GLYPH_WIDTH) return 0;
  const rows = hasGlyph(character) ? GLYPHS[character]! : UNKNOWN;
  const bits = Number.parseInt(rows[row] ?? '0', 32);
  return ((bits >> (GLYPH_WIDTH - 1 - column)) & 1) as 0 | 1;
}

/** Width of a line of text in pixels, without the gap after its last glyph. */
export function textWidth(text: string, scale: number): number {
  const glyphs = [...text].length;
  return glyphs === 0 ? 0 : (glyphs * ADVANCE - 1) * scale;
}

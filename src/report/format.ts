/** Numbers as text for reports: decimal units, a true minus sign, no-break spaces. */

const NBSP = '\u00a0';
const MISSING = '–';

/** Digits after the point; a minus sign instead of a hyphen. */
export function fixed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/** A number of everyday size with about three significant digits. */
export function threeDigits(value: number): string {
  const size = Math.abs(value);
  return fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** A share in percent without its sign, for columns; a dash when there is none. */
export function percentage(share: number | undefined, digits = 2): string {
  return isNumber(share) ? fixed(100 * share, digits) : MISSING;
}

/** A share such as `98.2 %`. */
export function percent(share: number, digits = 1): string {
  return `${percentage(share, digits)}${NBSP}%`;
}

/** Bytes as `812 bytes`, `45.3 kB`, `1.25 MB`. */
export function byteSize(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)}${NBSP}${units[unit]}`;
}

/** A duration such as `41.2 ms` or `3.40 s`. */
export function duration(milliseconds: number): string {
  return milliseconds < 1000 ? `${threeDigits(milliseconds)}${NBSP}ms` : `${threeDigits(milliseconds / 1000)}${NBSP}s`;
}

/** A date and time of ISO 8601 in words, in UTC; other texts as they are. */
export function dateInWords(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const words = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' }).format(date);
  return `${words}, ${date.toISOString().slice(11, 16)}${NBSP}UTC`;
}

/** `1 image`, `2 images`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en-GB')}${NBSP}${noun}${count === 1 ? '' : 's'}`;
}

/** Whether a value is there: JSON turns what is not finite into null. */
export function isNumber(value: number | null | undefined): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/** Whether a text is a decimal number, with however many digits. */
export function readsAsNumber(text: string): boolean {
  return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text);
}

/** The page's element with this id. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} '${id}'`);
  return found;
}

/** An element with text or children in it. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** What stands in a column of a row; numbers stand on the right. */
type TableValue = string | number;

/** A table with names above and in the first column; numbers have been formatted by whoever calls. */
export function table(
  caption: string,
  names: readonly string[],
  rows: readonly (readonly TableValue[])[],
  numeric: readonly number[] = [],
): HTMLElement {
  const isNumber = new Set(numeric);
  const style = (i: number) => (isNumber.has(i) ? 'number' : '');
  const head = names.map((name, i) => {
    const header = make('th', style(i), name);
    header.scope = 'col';
    return header;
  });
  const body = rows.map(([first = '', ...others]) => {
    // Paths break behind their strokes.
    const parts = String(first).split(/(?<=\/)/);
    const name = make('th', style(0), ...parts.flatMap((part, i) => (i === 0 ? [part] : [make('wbr', ''), part])));
    name.scope = 'row';
    return make('tr', '', name, ...others.map((value, i) => make('td', style(i + 1), String(value))));
  });
  const whole = make(
    'table',
    '',
    make('caption', '', caption),
    make('thead', '', make('tr', '', ...head)),
    make('tbody', '', ...body),
  );
  const scrolled = make('div', 'table', whole);
  // Narrow screens scroll it, by the keyboard, too.
  scrolled.tabIndex = 0;
  scrolled.setAttribute('role', 'region');
  scrolled.setAttribute('aria-label', caption);
  return scrolled;
}

/** Offers bytes as a file. */
export function download(name: string, type: string, bytes: string | Uint8Array<ArrayBuffer> | Blob): void {
  const url = URL.createObjectURL(bytes instanceof Blob ? bytes : new Blob([bytes], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads it after this returns.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function downloadJson(name: string, value: unknown): void {
  download(name, 'application/json', `${JSON.stringify(value, null, 2)}\n`);
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A text with a replacement mark instead of every character that HTML and XML forbid, or that turns what is around it. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what they forbid.
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g, '\ufffd');
}

/** Text for the content and the quoted attributes of HTML and SVG. */
export function escaped(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

/** Characters that move a terminal's cursor or turn the direction of what follows: C0, DEL, C1, line ends and bidi controls. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
const COMMANDING = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escapeOf(character: string): string {
  return SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * A text for a line of a terminal: characters that would command the terminal, or end the line, stand as the escapes that
 * JSON has for them. JSON stays the same value.
 */
export function visible(text: string): string {
  return text.replace(COMMANDING, escapeOf);
}

/** The same for a text that is laid out in lines: line ends and tabs stay. */
export function visibleLines(text: string): string {
  return text.replace(COMMANDING, (character) => (/[\n\t]/.test(character) ? character : escapeOf(character)));
}

/** Foreign text as one line inside Markdown: in a sentence, a table's field or an image's description. */
export function markdown(text: string): string {
  return visible(text)
    .replace(/&|<(?=[A-Za-z/!?]|$)|^>/g, (character) => ENTITIES[character]!)
    .replace(/[\\`[\]|]|(?<!\s)\*|\*(?!\s)|(?<![\p{L}\p{N}])[_~]|[_~](?![\p{L}\p{N}])/gu, '\\$&');
}

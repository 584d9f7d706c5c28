import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CardFile, parseCard } from './format.ts';

/** All cards of a folder with the notes beside them: `NAME.json` and, where somebody wrote one, `NAME.md`. */
export function readCards(folder: string): CardFile[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return names.map((name) => {
    const file = parseCard(readFileSync(join(folder, name), 'utf8'), name);
    const notes = join(folder, name.replace(/\.json$/, '.md'));
    return existsSync(notes) ? { ...file, notes: readFileSync(notes, 'utf8') } : file;
  });
}

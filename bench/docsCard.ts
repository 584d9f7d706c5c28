/** Writes docs/gpu.md from all files of bench/results: npm run docs:card */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseCard } from './card/format.ts';
import { cardsMarkdown } from './card/markdown.ts';

const FOLDER = 'bench/results';
const PAGE = 'docs/gpu.md';

const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
const files = names.map((name) => parseCard(readFileSync(`${FOLDER}/${name}`, 'utf8'), `${FOLDER}/${name}`));
writeFileSync(PAGE, cardsMarkdown(files));
console.log(`${PAGE}: ${files.length} cards`);

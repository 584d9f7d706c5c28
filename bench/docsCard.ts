/** Writes docs/gpu.md from all files of bench/results: npm run docs:card */
import { writeFileSync } from 'node:fs';
import { cardsMarkdown } from './card/markdown.ts';
import { readCards } from './card/read.ts';

const PAGE = 'docs/gpu.md';

const cards = readCards('bench/results');
writeFileSync(PAGE, cardsMarkdown(cards));
console.log(`${PAGE}: ${cards.length} cards`);

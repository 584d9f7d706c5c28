// Writes docs/commands.md: node scripts/run.mjs scripts/commandsPage.ts
import { writeFileSync } from 'node:fs';
import { commandsPage } from '../src/cli/help.ts';

writeFileSync('docs/commands.md', commandsPage());

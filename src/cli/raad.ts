#!/usr/bin/env node
import { printError } from './fatal.ts';

// What the command line consists of may lack a package: that is one sentence, too.
await import('./main.ts').catch(printError);

import { readFileSync } from 'node:fs';

/** The text of a file in `shaders/`. */
export const shader = (name: string): string => readFileSync(new URL(`../../shaders/${name}`, import.meta.url), 'utf8');

const name = 'conv2d_input_grad_direct.wgsl';
/** A kernel that reads its weights one place too far. */
export const BROKEN = { name, text: shader(name).replace(/w\[(?=[^\n]*\])/, 'w[1u + ') };

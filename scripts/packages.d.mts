/** The pack of a file below `shaders/`. */
export function packOf(file: string): string;

/** Builds the page of web/ into a folder, which is emptied first. @param options `minify`: names stay as they are without it */
export function buildPage(folder: string, options?: { readonly minify?: boolean }): Promise<void>;

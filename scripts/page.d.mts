/** Builds the page of web/ into a folder, which is emptied first. */
export function buildPage(folder: string): Promise<void>;

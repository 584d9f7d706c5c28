/** Ways to make a detector, as pages call them. */
export const METHODS = { nearest: 'memory bank', student: 'RAAD' } as const;
export type Method = keyof typeof METHODS;
export const METHOD_NAMES = Object.keys(METHODS) as readonly Method[];

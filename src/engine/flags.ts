/**
 * The flags of WebGPU by value: their global objects are there in browsers alone, and where a program in Node has put them.
 */
export const BUFFER_USAGE = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  QUERY_RESOLVE: 0x200,
} as const;

export const TEXTURE_USAGE = {
  COPY_SRC: 0x1,
  COPY_DST: 0x2,
  TEXTURE_BINDING: 0x4,
  RENDER_ATTACHMENT: 0x10,
} as const;

export const MAP_READ = 0x1;
export const FRAGMENT_STAGE = 0x2;
export const COMPUTE_STAGE = 0x4;

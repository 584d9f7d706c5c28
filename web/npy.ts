/** A map as a NumPy file, format 1.0: little-endian f32 [height, width] in rows. */
export function encodeNpy(values: Float32Array, width: number, height: number): Uint8Array<ArrayBuffer> {
  const description = `{'descr': '<f4', 'fortran_order': False, 'shape': (${height}, ${width}), }`;
  // Magic, version and length take 10 bytes; values begin at a multiple of 64.
  const headerBytes = Math.ceil((10 + description.length + 1) / 64) * 64 - 10;
  const header = `${description.padEnd(headerBytes - 1)}\n`;
  const bytes = new Uint8Array(10 + headerBytes + 4 * values.length);
  bytes.set([0x93, ...new TextEncoder().encode('NUMPY'), 1, 0, headerBytes & 0xff, headerBytes >> 8]);
  bytes.set(new TextEncoder().encode(header), 10);
  const view = new DataView(bytes.buffer, 10 + headerBytes);
  values.forEach((value, i) => {
    view.setFloat32(4 * i, value, true);
  });
  return bytes;
}

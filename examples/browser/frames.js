// The frames of a video, one behind the other: each is imported where it lies, and none goes through the CPU.

/** Frames that are on the device at a time. */
const IN_FLIGHT = 3;

/**
 * @param detector as `loadDetector` gives it
 * @param {AsyncIterable<VideoFrame>} frames of one size, such as `new MediaStreamTrackProcessor({ track }).readable` of a camera
 * @returns {AsyncGenerator<{ timestamp: number, score: number }>} in the order of the frames
 */
export async function* scoresOf(detector, frames) {
  const { device } = detector.engine;
  const score = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  const free = Array.from({ length: IN_FLIGHT }, () =>
    device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }),
  );
  const all = [score, ...free];
  const waiting = [];
  let prepared;

  async function first() {
    const { timestamp, staging, mapped } = waiting.shift();
    await mapped;
    const [value] = new Float32Array(staging.getMappedRange());
    staging.unmap();
    free.push(staging);
    return { timestamp, score: value };
  }

  try {
    for await (const frame of frames) {
      try {
        const { displayWidth: width, displayHeight: height, timestamp } = frame;
        prepared ??= await detector.prepare({ width, height, format: 'external' });
        const staging = free.shift();
        const encoder = device.createCommandEncoder();
        // A frame is imported for this task alone: it is encoded and submitted without waiting in between.
        prepared.encode(encoder, { image: frame, score });
        encoder.copyBufferToBuffer(score, 0, staging, 0, 4);
        device.queue.submit([encoder.finish()]);
        const mapped = staging.mapAsync(GPUMapMode.READ);
        // Where the loop ends early, nobody waits for it.
        mapped.catch(() => {});
        waiting.push({ timestamp, staging, mapped });
      } finally {
        frame.close();
      }
      if (free.length === 0) yield await first();
    }
    while (waiting.length > 0) yield await first();
  } finally {
    prepared?.destroy();
    for (const buffer of all) buffer.destroy();
  }
}

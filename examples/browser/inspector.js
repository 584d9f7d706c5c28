// The page's side of worker.js: pictures go to the worker, scores come back, and the canvas shows the heat map.

/**
 * @param {HTMLCanvasElement} canvas of the pictures' size; from now on the worker's
 * @param {ArrayBuffer} model a model file
 * @returns a function from an ImageBitmap to its score, for one picture at a time; the bitmap is then the worker's
 */
export async function openInspector(canvas, model) {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });

  /** Sends one message and waits for the answer. */
  const ask = (message, transfer) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.message ? reject(new Error(data.message)) : resolve(data.score));
      worker.onerror = ({ message: text }) => reject(new Error(text));
      worker.postMessage(message, transfer);
    });

  const drawing = canvas.transferControlToOffscreen();
  await ask({ canvas: drawing, model }, [drawing, model]);
  return (picture) => ask({ picture }, [picture]);
}

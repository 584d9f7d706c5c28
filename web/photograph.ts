import { openCamera } from './camera.ts';
import { encodePng } from './canvas.ts';
import type { NamedFile } from './pictures.ts';
import type { TaskControl } from './task.ts';

/** Time for a part to be moved. */
const MILLISECONDS_BETWEEN = 500;

/** Takes pictures with the camera, one after the other, until it is stopped or there are enough. @throws UserError */
export async function photograph(most: number, { signal, progress }: TaskControl): Promise<NamedFile[]> {
  progress('Asking for the camera.');
  using camera = await openCamera();
  const files: NamedFile[] = [];
  while (files.length < most && !signal.aborted) {
    const path = `camera-${String(files.length + 1).padStart(3, '0')}.png`;
    files.push({ path, file: new File([await encodePng(await camera.frame())], path, { type: 'image/png' }) });
    progress(`${files.length} pictures taken, at most ${most}: move the part, then stop.`, files.length, most);
    await new Promise((resolve) => setTimeout(resolve, MILLISECONDS_BETWEEN));
  }
  return files;
}

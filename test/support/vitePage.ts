import { servePage } from '../../src/node/page.ts';
import { launchChromium, WITH_WEBGPU } from './chromium.ts';

/** What a page says of a picture, and the canvas that it draws, in RGBA. */
export interface ShownPicture {
  readonly said: string;
  readonly width: number;
  readonly height: number;
  readonly rgba: readonly number[];
  /** What was thrown and not caught. */
  readonly errors: readonly string[];
}

/** Opens the built page of `examples/vite` in Chromium and gives it a picture. @param folder what Vite has built */
export async function showOnVitePage(folder: string, name: string, png: Uint8Array): Promise<ShownPicture> {
  const served = await servePage(folder, 0);
  const browser = await launchChromium(...WITH_WEBGPU);
  try {
    const page = await browser.newPage();
    // A software adapter may take long to compile; the test's own limit counts.
    page.setDefaultTimeout(0);
    const errors: string[] = [];
    page.on('pageerror', ({ message }) => errors.push(message));
    await page.goto(served.url);
    await page.waitForSelector('#picture:enabled');
    await page.setInputFiles('#picture', { name, mimeType: 'image/png', buffer: Buffer.from(png) });
    await page.waitForFunction((start) => document.querySelector('output')!.value.startsWith(start), name);
    const said = (await page.textContent('output'))!;
    const canvas = await page.locator('canvas').evaluate((element: HTMLCanvasElement) => {
      const { width, height } = element;
      const { data } = element.getContext('2d')!.getImageData(0, 0, width, height);
      return { width, height, rgba: [...data] };
    });
    return { said, ...canvas, errors };
  } finally {
    await browser.close();
    await served.close();
  }
}

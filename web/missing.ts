/** What the page cannot work without, in a sentence that says what to do; undefined where all is there. */
export function whatIsMissing(): string | undefined {
  if (!window.isSecureContext)
    return `Browsers offer WebGPU to secure pages alone: open this page over HTTPS, or as http://localhost on its own machine, instead of ${location.origin}.`;
  if (!navigator.gpu)
    return 'This browser has no WebGPU, or it is switched off: use a current Chrome, Edge, Safari or Firefox; in Chromium on Linux, switch chrome://flags/#enable-unsafe-webgpu on.';
  return undefined;
}

import { byId } from './dom.ts';
import type { ModelFile } from './inspect.ts';
import { whatIsMissing } from './missing.ts';
import { Tabs } from './tabs.ts';

/** Panels are loaded when they are first opened. */
function start(): void {
  let inspect: Promise<{ use(model: ModelFile): Promise<boolean> }> | undefined;
  const openInspect = () => {
    inspect ??= import('./inspect.ts').then(({ Inspect }) => new Inspect());
    return inspect;
  };
  const tabs = new Tabs({
    inspect: openInspect,
    async teach() {
      const { Teach } = await import('./teach.ts');
      new Teach(async (model) => {
        tabs.open('inspect');
        await (await openInspect()).use(model);
      });
    },
    doctor: () => import('./doctor.ts').then(({ startDoctor }) => startDoctor()),
    bench: () => import('./bench.ts').then(({ startBench }) => startBench()),
  });
  tabs.openNamed(location.hash.slice(1));
}

const missing = whatIsMissing();
if (missing) {
  const notice = byId('missing', HTMLElement);
  notice.textContent = missing;
  notice.hidden = false;
  for (const part of document.querySelectorAll<HTMLElement>('[role="tablist"], [role="tabpanel"]')) part.hidden = true;
} else start();

// What was fetched once is there without a network; pages that may not have workers do without.
navigator.serviceWorker?.register('worker.js').catch(() => {});

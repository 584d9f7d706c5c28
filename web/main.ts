import { byId } from './dom.ts';
import { whatIsMissing } from './missing.ts';
import type { ModelFile } from './models.ts';
import { Tabs } from './tabs.ts';

/** Shows what keeps the page from working, above all panels. */
function notify(text: string): void {
  const notice = byId('missing', HTMLElement);
  notice.textContent = text;
  notice.hidden = false;
}

/** Panels are loaded when they are first opened. */
function start(): void {
  let inspect: Promise<{ use(models: readonly ModelFile[]): Promise<void> }> | undefined;
  const openInspect = () => {
    inspect ??= import('./inspect.ts').then(({ Inspect }) => new Inspect());
    return inspect;
  };
  const tabs = new Tabs(
    {
      inspect: openInspect,
      async teach() {
        const { Teach } = await import('./teach.ts');
        new Teach(async (models) => {
          tabs.open('inspect');
          await (await openInspect()).use(models);
        });
      },
      doctor: () => import('./doctor.ts').then(({ startDoctor }) => startDoctor()),
      bench: () => import('./bench.ts').then(({ startBench }) => startBench()),
    },
    (error) => notify(`This part of the page cannot be loaded: ${String(error)}. Reload the page.`),
  );
  tabs.openNamed(location.hash.slice(1));
}

const missing = whatIsMissing();
if (missing) {
  notify(missing);
  for (const part of document.querySelectorAll<HTMLElement>('[role="tablist"], [role="tabpanel"]')) part.hidden = true;
} else start();

// What was fetched once is there without a network; pages that may not have workers do without.
navigator.serviceWorker?.register('worker.js').catch(() => {});

import { byId } from './dom.ts';

/** The page's panels, one of which is shown: chosen by a click, or by arrow keys between the tabs. */
export class Tabs<Name extends string> {
  readonly #names: readonly Name[];
  readonly #load: Readonly<Record<Name, () => Promise<unknown>>>;
  readonly #onFailure: (error: unknown) => void;
  readonly #loaded = new Set<Name>();

  /**
   * @param load called when a panel is shown for the first time, and again after it failed
   * @param onFailure told why a panel cannot be loaded
   */
  constructor(load: Readonly<Record<Name, () => Promise<unknown>>>, onFailure: (error: unknown) => void) {
    this.#load = load;
    this.#onFailure = onFailure;
    this.#names = Object.keys(load) as Name[];
    for (const [i, name] of this.#names.entries()) {
      const tab = tabOf(name);
      tab.addEventListener('click', () => this.open(name));
      tab.addEventListener('keydown', ({ key }) => {
        const last = this.#names.length - 1;
        const to = { ArrowRight: i === last ? 0 : i + 1, ArrowLeft: i === 0 ? last : i - 1, Home: 0, End: last }[key];
        if (to === undefined) return;
        this.open(this.#names[to]!);
        tabOf(this.#names[to]!).focus();
      });
    }
  }

  /** Shows the panel that a link names, or the first one. */
  openNamed(name: string): void {
    this.open(this.#names.find((each) => each === name) ?? this.#names[0]!);
  }

  open(name: Name): void {
    for (const each of this.#names) {
      const isOpen = each === name;
      const tab = tabOf(each);
      tab.setAttribute('aria-selected', String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
      byId(each, HTMLElement).hidden = !isOpen;
    }
    history.replaceState(null, '', `#${name}`);
    if (this.#loaded.has(name)) return;
    this.#loaded.add(name);
    void this.#fill(name);
  }

  /** Until its code is there, a panel takes nothing. */
  async #fill(name: Name): Promise<void> {
    const panel = byId(name, HTMLElement);
    panel.inert = true;
    try {
      await this.#load[name]();
      panel.inert = false;
    } catch (error) {
      this.#loaded.delete(name);
      this.#onFailure(error);
    }
  }
}

const tabOf = (name: string) => byId(`tab-${name}`, HTMLButtonElement);

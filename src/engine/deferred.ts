import { UserError } from '../errors.ts';

/** Thrown where a module is used that has not been fetched yet. @see deferred */
export class NotFetched extends Error {
  readonly fetch: () => Promise<void>;

  constructor(fetch: () => Promise<void>) {
    super('a module is used before it has been fetched');
    this.fetch = fetch;
  }
}

/** Of deferred modules that are not there yet. */
const unfetched = new Set<() => Promise<void>>();

/**
 * A module that few devices need, such as kernels for one kind of adapter: a page fetches it when a graph first uses it.
 * @param load a dynamic import
 * @returns the module; throws {@link NotFetched} until it is there, which {@link withModules} answers
 */
export function deferred<Module>(load: () => Promise<Module>): () => Module {
  let module: Module | undefined;
  const fetch = async () => {
    module = await load().catch(cannotFetch('kernels'));
    unfetched.delete(fetch);
  };
  unfetched.add(fetch);
  return () => {
    if (module === undefined) throw new NotFetched(fetch);
    return module;
  };
}

/** Fetches all deferred modules, for tools that look at every variant. */
export async function fetchModules(): Promise<void> {
  // What is fetched may defer others.
  while (unfetched.size > 0) await Promise.all([...unfetched].map((fetch) => fetch()));
}

/**
 * The result of a function that may use deferred modules: called again whenever one had to be fetched first.
 * @param compute changes nothing before it returns
 * @throws UserError where a module cannot be fetched
 */
export async function withModules<Result>(compute: () => Result): Promise<Result> {
  for (;;) {
    try {
      return compute();
    } catch (error) {
      if (!(error instanceof NotFetched)) throw error;
      await error.fetch();
    }
  }
}

/** What a failed dynamic import becomes. */
export function cannotFetch(what: string) {
  return (error: Error): never => {
    throw new UserError(
      `${what} cannot be loaded: ${error.message}.`,
      'Check the connection, then load the page again.',
    );
  };
}

import type { Allocation } from '../src/hqs/allocate.ts';
import type { LessonSettings } from './learning.ts';
import type { ModelFile } from './models.ts';
import type { NamedFile } from './pictures.ts';

/** What is learned, and from what. */
export interface Lesson {
  readonly name: string;
  readonly settings: LessonSettings;
  readonly files: readonly NamedFile[];
}

const STORE = 'lesson';
const KEYS = { lesson: 'lesson', model: 'model', allocation: 'allocation', checkpoint: 'checkpoint' } as const;

/** Whether this browser keeps anything for the page. */
let isKeeping = true;

export const keepsLessons = () => isKeeping;

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function within<T>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => T | Promise<T>): Promise<T> {
  const opening = indexedDB.open('raad-webgpu', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await settled(opening);
  try {
    const transaction = database.transaction(STORE, mode);
    const ended = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    const [result] = await Promise.all([use(transaction.objectStore(STORE)), ended]);
    return result;
  } finally {
    database.close();
  }
}

/** Where the browser refuses once, such as for the space that pictures take, nothing more is kept. */
async function write(change: (store: IDBObjectStore) => void): Promise<void> {
  if (!isKeeping) return;
  try {
    await within('readwrite', change);
  } catch {
    isKeeping = false;
  }
}

/**
 * Training that has begun: of a lesson, or of a model that was learned and is made smaller. What it goes on from is in memory,
 * and in the browser until it has ended or another one begins.
 */
export class Begun {
  readonly lesson: Lesson;
  /** What was learned, where it is made smaller. */
  readonly model: ModelFile | undefined;
  #allocation: Allocation | undefined;
  #checkpoint: Uint8Array | undefined;

  constructor(lesson: Lesson, model?: ModelFile) {
    this.lesson = lesson;
    this.model = model;
  }

  /** The training that the tab was closed in. */
  static async kept(): Promise<Begun | undefined> {
    try {
      const [lesson, model, allocation, checkpoint] = await within('readonly', (store) =>
        Promise.all(Object.values(KEYS).map((key) => settled(store.get(key)))),
      );
      if (!lesson) return undefined;
      const begun = new Begun(lesson, model);
      begun.#allocation = allocation;
      begun.#checkpoint = checkpoint;
      return begun;
    } catch {
      isKeeping = false;
      return undefined;
    }
  }

  /** The bits that were found for the model's layers. */
  get allocation(): Allocation | undefined {
    return this.#allocation;
  }

  get checkpoint(): Uint8Array | undefined {
    return this.#checkpoint;
  }

  /** Keeps it in the place of what began before. */
  async keep(): Promise<void> {
    await write((store) => {
      store.clear();
      store.put(this.lesson, KEYS.lesson);
      if (this.model) store.put(this.model, KEYS.model);
    });
  }

  async saveAllocation(allocation: Allocation): Promise<void> {
    this.#allocation = allocation;
    await write((store) => void store.put(allocation, KEYS.allocation));
  }

  async save(checkpoint: Uint8Array): Promise<void> {
    this.#checkpoint = checkpoint;
    await write((store) => void store.put(checkpoint, KEYS.checkpoint));
  }

  async end(): Promise<void> {
    await write((store) => void store.clear());
  }
}

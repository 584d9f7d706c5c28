import type { LessonSettings } from './learning.ts';
import type { NamedFile } from './pictures.ts';

/** What is learned, and from what: kept in the browser until it has been learned. */
export interface Lesson {
  readonly name: string;
  readonly settings: LessonSettings;
  readonly files: readonly NamedFile[];
}

const STORE = 'lesson';
const LESSON = 'lesson';
const CHECKPOINT = 'checkpoint';

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function within<T>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const opening = indexedDB.open('raad-webgpu', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await settled(opening);
  try {
    const transaction = database.transaction(STORE, mode);
    const result = await settled(use(transaction.objectStore(STORE)));
    if (mode === 'readwrite') {
      await new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
      });
    }
    return result;
  } finally {
    database.close();
  }
}

/** Keeps a new lesson in the place of the one before, without a checkpoint. */
export async function keepLesson(lesson: Lesson): Promise<void> {
  await forgetLesson();
  await within('readwrite', (store) => store.put(lesson, LESSON));
}

export async function keepCheckpoint(checkpoint: Uint8Array): Promise<void> {
  await within('readwrite', (store) => store.put(checkpoint, CHECKPOINT));
}

/** The lesson that was not learned to its end, with what training goes on from. */
export async function keptLesson(): Promise<{ lesson: Lesson; checkpoint: Uint8Array | undefined } | undefined> {
  const lesson: Lesson | undefined = await within('readonly', (store) => store.get(LESSON));
  if (!lesson) return undefined;
  return { lesson, checkpoint: await within('readonly', (store) => store.get(CHECKPOINT)) };
}

export async function forgetLesson(): Promise<void> {
  await within('readwrite', (store) => store.clear());
}

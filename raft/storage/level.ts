/**
 * The Raft database on LevelDB: one directory, one writer. Owns durability and nothing else: what lies there is the
 * layout's (layout.ts), what may be believed is decided by verification.ts, the log itself is in the core's memory. Every
 * write is one chained batch with `sync`, so it is atomic and nothing un-synced can outlive a synced successor;
 * truncation is explicit deletes inside that batch (`clear` is neither atomic nor synced and would bring truncated
 * entries back). It never repairs: a database that does not verify stays as it was found.
 *
 * LevelDB's own lock does not survive a second open within one process, so the caller holds a lock of its own on the
 * data directory.
 */
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Level } from 'level';
import { assert, InvariantError, type Snapshot } from '../core/types.ts';
import { Layout } from './layout.ts';
import { chunkGeneration, type StorageIdentity } from './records.ts';
import { type PersistBatch, type RaftStorage, type Recovered, StorageDamagedError } from './storage.ts';
import { verifyDatabase } from './verification.ts';

type Database = Level<Buffer, Buffer>;
type Batch = ReturnType<Database['batch']>;

export class LevelStorage implements RaftStorage {
  readonly #database: Database;
  readonly #directory: string;
  readonly #identity: StorageIdentity;
  /** Null until loaded. */
  #layout: Layout | null = null;
  #writing = false;
  #failure: Error | null = null;

  private constructor(database: Database, directory: string, identity: StorageIdentity) {
    this.#database = database;
    this.#directory = directory;
    this.#identity = identity;
  }

  /**
   * Makes the database of a new replica: the first voter's with its configuration entry, a joiner's empty. What an
   * interrupted call left is taken up; a database that holds anything is refused.
   */
  static async create(
    directory: string,
    identity: StorageIdentity,
    initial: Recovered,
  ): Promise<LevelStorage> {
    const storage = new LevelStorage(await openDatabase(directory, true), directory, identity);
    try {
      const keys = await storage.#database.keys().all();
      if (keys.some((key) => chunkGeneration(key) === null)) {
        throw new Error(`${directory} already holds a Raft database; open it instead of creating it`);
      }
      storage.#layout = Layout.create(identity, keys);
      const { hardState, snapshot, entries } = initial;
      const compactTo = snapshot?.meta.last.index ?? null;
      await storage.write({ hardState, snapshot, entries, compactTo, truncateFrom: null });
      await syncDirectory(directory);
      await syncDirectory(dirname(directory));
      return storage;
    } catch (e) {
      await storage.close();
      throw e;
    }
  }

  /** Opens what `create` made. Nothing may be written before `load` has verified it. */
  static async open(directory: string, identity: StorageIdentity): Promise<LevelStorage> {
    return new LevelStorage(await openDatabase(directory, false), directory, identity);
  }

  async load(): Promise<Recovered> {
    const contents = verifyDatabase(this.#directory, await this.#readAll(), this.#identity);
    this.#layout = Layout.of(contents);
    const { state, snapshot, entries } = contents;
    return { hardState: state.hardState, snapshot, entries };
  }

  async write(batch: PersistBatch): Promise<void> {
    assert(!this.#writing, 'one write at a time');
    this.#writing = true;
    try {
      if (batch.snapshot !== null) await this.#stageSnapshot(batch.snapshot);
      await this.#commit((layout, to) => layout.stage(batch, to));
    } finally {
      this.#writing = false;
    }
  }

  async close(): Promise<void> {
    this.#failure ??= new Error(`the Raft database ${this.#directory} is closed`);
    await this.#database.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** One synced write for each piece, so that what has to be written meanwhile waits for one of them at most. */
  async #stageSnapshot(snapshot: Snapshot): Promise<void> {
    const records = this.#loaded().stageSnapshot(snapshot);
    for (const [key, value] of records) await this.#commit((_, to) => to.put(key, value));
  }

  async #commit(fill: (layout: Layout, to: Batch) => void): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const layout = this.#loaded();
    try {
      const to = this.#database.batch();
      fill(layout, to);
      await to.write({ sync: true });
    } catch (cause) {
      if (cause instanceof InvariantError) this.#failure ??= cause;
      // What of this write is on disk is not known, and a later fsync may claim success for pages that are gone.
      this.#failure ??= new Error(
        `cannot write the Raft database ${this.#directory}: ${detail(cause)}; free or replace the disk and restart`,
        { cause },
      );
      throw this.#failure;
    }
  }

  #loaded(): Layout {
    assert(this.#layout !== null, 'load before the first write');
    return this.#layout;
  }

  async #readAll(): Promise<[Buffer, Buffer][]> {
    try {
      return await this.#database.iterator().all();
    } catch (cause) {
      const sentence = `the Raft database ${this.#directory} cannot be read: ${detail(cause)}`;
      throw new StorageDamagedError(sentence, { cause });
    }
  }
}

async function openDatabase(directory: string, createIfMissing: boolean): Promise<Database> {
  const database = new Level<Buffer, Buffer>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
    // LevelDB slows writers down when small level-0 files pile up.
    writeBufferSize: 16 << 20,
    createIfMissing,
  });
  try {
    await database.open();
  } catch (e) {
    throw openError(directory, e);
  }
  return database;
}

/** Missing and unreadable files are damage; a lock, a permission or a full disk is not. */
function openError(directory: string, error: unknown): Error {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'LEVEL_LOCKED') {
    return new Error(`the Raft database ${directory} is in use by another process; stop that one first`, {
      cause,
    });
  }
  if (code === 'LEVEL_CORRUPTION' || /does not exist|no such file|missing files/i.test(detail(cause))) {
    return new StorageDamagedError(`the Raft database ${directory} cannot be opened: ${detail(cause)}`, {
      cause,
    });
  }
  return new Error(`cannot open the Raft database ${directory}: ${detail(cause)}`, { cause });
}

/** A new file is durable only when its directory is. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function detail(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

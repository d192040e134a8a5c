/**
 * The Raft database on LevelDB: one directory, one writer. Owns durability and nothing else: what lies there is the
 * layout's (layout.ts), what may be believed is decided by verification.ts, the log itself is in the core's memory. Every
 * write is one chained batch with `sync`, so it is atomic and nothing un-synced can outlive a synced successor;
 * truncation is explicit deletes inside that batch (`clear` is neither atomic nor synced and would bring truncated
 * entries back). The fence follows each batch before the write resolves. It never repairs: a database that does not
 * verify stays as it was found.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { InitialState } from '../core/bootstrap.ts';
import { assert, InvariantError, type Snapshot } from '../core/types.ts';
import { syncDirectory } from './directory.ts';
import { decodeFence, type Fence, fenceOfNothing, standingOf } from './fence.ts';
import { FenceFile } from './fence-file.ts';
import { Layout } from './layout.ts';
import { type Database, detail, type Files, fencePath, openFiles } from './level-files.ts';
import { chunkGeneration, type StorageIdentity } from './records.ts';
import {
  type PeerPositions,
  type PersistBatch,
  type Position,
  type RaftStorage,
  type Recovered,
  StorageDamagedError,
} from './storage.ts';
import { verifyDatabase } from './verification.ts';

export class LevelStorage implements RaftStorage {
  readonly #directory: string;
  readonly #identity: StorageIdentity;
  readonly #files: Files;
  /** Null until loaded. */
  #layout: Layout | null = null;
  /** Of what is durable. */
  #fence: Fence;
  #writing = false;
  /** What need not hurry, one after the other and beside the writes of batches. Never rejects. */
  #background: Promise<void> = Promise.resolve();
  #failure: Error | null = null;

  private constructor(directory: string, identity: StorageIdentity, files: Files) {
    this.#directory = directory;
    this.#identity = identity;
    this.#files = files;
    this.#fence = fenceOfNothing(identity.replica);
    files.fence.onSyncFailed = (cause) => this.#fail(cause);
  }

  /**
   * Makes the database of a new replica: the first voter's with its configuration entry, a joiner's empty. What an
   * interrupted call left is taken up; a database that holds anything is refused.
   */
  static async create(
    directory: string,
    identity: StorageIdentity,
    initial: InitialState,
  ): Promise<LevelStorage> {
    await mkdir(directory, { recursive: true });
    const files = await openFiles(directory, true, async (database) => {
      if (await isUsed(database, directory)) {
        throw new Error(`${directory} already holds a Raft database; open it instead of creating it`);
      }
      await FenceFile.create(fencePath(directory), fenceOfNothing(identity.replica));
    });
    const storage = new LevelStorage(directory, identity, files);
    try {
      storage.#layout = Layout.create(identity, await files.database.keys().all());
      const { hardState, snapshot, entries } = initial;
      const compactTo = snapshot?.meta.last.index ?? null;
      await storage.write({ hardState, snapshot, entries, compactTo, truncateFrom: null });
      await files.fence.sync();
      await syncDirectory(directory);
      await syncDirectory(dirname(directory));
      return storage;
    } catch (e) {
      await storage.close();
      throw e;
    }
  }

  /** Opens what `create` made. Nothing may be written before `load` has verified it. Throws StorageDamagedError. */
  static async open(directory: string, identity: StorageIdentity): Promise<LevelStorage> {
    return new LevelStorage(directory, identity, await openFiles(directory, false, async () => {}));
  }

  get position(): Position {
    return { writeSequence: this.#fence.writeSequence, term: this.#fence.term };
  }

  async load(): Promise<Recovered> {
    const { database, fence } = this.#files;
    const records = await this.#read(() => database.iterator().all());
    const contents = verifyDatabase(this.#directory, records, await fence.read(), this.#identity);
    const { state, snapshot, entries, seen } = contents;
    this.#layout = Layout.of(contents);
    this.#fence = { replica: this.#identity.replica, ...standingOf(state), seenSequence: seen.sequence };
    // A crash may have left the fence behind. What is loaded is acknowledged again, so it must not be lost unnoticed.
    fence.continueFrom(contents.fence);
    await this.#durably(() => fence.record(this.#fence));
    await this.#durably(() => fence.sync());
    return { hardState: state.hardState, snapshot, entries, seen: seen.seen };
  }

  async write(batch: PersistBatch): Promise<void> {
    assert(!this.#writing, 'one write at a time');
    this.#writing = true;
    try {
      if (batch.snapshot !== null) await this.stageSnapshot(batch.snapshot);
      await this.#durably(async () => {
        const to = this.#files.database.batch();
        const standing = this.#loaded().stage(batch, to);
        await to.write({ sync: true });
        this.#fence = { ...this.#fence, ...standing };
        await this.#files.fence.record(this.#fence);
      });
    } finally {
      this.#writing = false;
    }
  }

  async stageSnapshot(snapshot: Snapshot): Promise<void> {
    await this.#inBackground(async () => {
      for (const [key, value] of this.#loaded().stageSnapshot(snapshot)) {
        await this.#durably(() => this.#files.database.put(key, value, { sync: true }));
      }
    });
  }

  async remember(seen: PeerPositions): Promise<void> {
    await this.#inBackground(() =>
      this.#durably(async () => {
        const to = this.#files.database.batch();
        const seenSequence = this.#loaded().remember(seen, to);
        await to.write({ sync: true });
        this.#fence = { ...this.#fence, seenSequence };
        await this.#files.fence.record(this.#fence);
      }),
    );
  }

  async close(): Promise<void> {
    this.#failure ??= new Error(`the Raft database ${this.#directory} is closed`);
    await this.#files.database.close();
    await this.#files.fence.close();
    this.#files.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #inBackground(work: () => Promise<void>): Promise<void> {
    const done = this.#background.then(work);
    this.#background = done.catch(() => {});
    await done;
  }

  /** Nothing is written after a failure: what of that write is on the disk is not known. */
  async #durably(work: () => Promise<void>): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    try {
      await work();
    } catch (cause) {
      throw this.#fail(cause);
    }
  }

  /** For good: a later sync may claim success for pages that are gone. */
  #fail(cause: unknown): Error {
    if (cause instanceof InvariantError) this.#failure ??= cause;
    this.#failure ??= new Error(
      `cannot write the Raft database ${this.#directory}: ${detail(cause)}; free or replace the disk and restart`,
      { cause },
    );
    return this.#failure;
  }

  #loaded(): Layout {
    assert(this.#layout !== null, 'load before the first write');
    return this.#layout;
  }

  async #read<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (cause) {
      const sentence = `the Raft database ${this.#directory} cannot be read: ${detail(cause)}`;
      throw new StorageDamagedError(sentence, { cause });
    }
  }
}

/** Chunks without a batch are what an interrupted creation left, and so is a fence of nothing. */
async function isUsed(database: Database, directory: string): Promise<boolean> {
  for await (const key of database.keys()) if (chunkGeneration(key) === null) return true;
  const fence = await readFile(fencePath(directory)).catch(() => null);
  if (fence === null) return false;
  try {
    return decodeFence(fence).fence.writeSequence > 0;
  } catch {
    return true; // it is made in one step, so it was whole once
  }
}

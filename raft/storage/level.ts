/**
 * The Raft database on LevelDB: one directory, one writer. Owns durability and nothing else; the log itself is in the
 * core's memory. Every write is one chained batch with `sync`, so it is atomic and nothing un-synced can outlive a
 * synced successor; truncation is explicit deletes inside that batch (`clear` is neither atomic nor synced and would
 * bring truncated entries back). LevelDB verifies no checksums on its own here, so `load` believes only what the
 * records prove (records.ts). It never repairs: a database that does not verify stays as it was found.
 *
 * LevelDB's own lock does not survive a second open within one process, so the caller holds a lock of its own on the
 * data directory.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Level } from 'level';
import {
  assert,
  InvariantError,
  type LogIndex,
  type Snapshot,
  toLogIndex,
  ZERO_ENTRY,
} from '../core/types.ts';
import { MAX_FRAME_BYTES } from '../limits.ts';
import { readDatabase } from './level-reader.ts';
import {
  chunkKey,
  encodeIdentity,
  encodeLogRecord,
  encodeSnapshotRecord,
  encodeState,
  IDENTITY_KEY,
  isClusterId,
  type Link,
  logKey,
  SNAPSHOT_CHUNK_BYTES,
  SNAPSHOT_KEY,
  STATE_KEY,
  type StorageIdentity,
  startOfChain,
} from './records.ts';
import { type PersistBatch, type RaftStorage, type Recovered, StorageDamagedError } from './storage.ts';
import { planWrite, type WritePlan } from './write-plan.ts';

type Database = Level<Buffer, Buffer>;
type Batch = ReturnType<Database['batch']>;

/** Where the stored log stands: all that `write` must know of what is on disk. */
interface Position {
  base: Link;
  /** One for each stored entry after `base`. */
  links: Link[];
  snapshot: { readonly index: LogIndex; readonly chunks: number };
  writeSequence: number;
}

const EMPTY_SNAPSHOT = { index: ZERO_ENTRY.index, chunks: 0 };

export class LevelStorage implements RaftStorage {
  readonly #database: Database;
  readonly #directory: string;
  readonly #identity: StorageIdentity;
  /** Null until loaded. */
  #position: Position | null = null;
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
    assert(isClusterId(identity.cluster), `cluster id out of range: ${identity.cluster}`);
    const storage = new LevelStorage(await openDatabase(directory, true), directory, identity);
    try {
      for await (const _ of storage.#database.keys({ limit: 1 })) {
        throw new Error(`${directory} already holds a Raft database; open it instead of creating it`);
      }
      const start = startOfChain(ZERO_ENTRY);
      storage.#position = { base: start, links: [], snapshot: EMPTY_SNAPSHOT, writeSequence: 0 };
      const { hardState, snapshot, entries } = initial;
      const compactTo = snapshot?.meta.last.index ?? null;
      await storage.#commit({ hardState, snapshot, entries, compactTo, truncateFrom: null }, (batch) => {
        batch.put(IDENTITY_KEY, encodeIdentity(identity));
      });
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
    const found = await readDatabase(this.#database, this.#directory, this.#identity);
    const { state, links, snapshot } = found;
    this.#position = {
      base: state.base,
      links,
      snapshot: { index: state.snapshotIndex, chunks: snapshot === null ? 0 : chunkCount(snapshot) },
      writeSequence: state.writeSequence,
    };
    return { hardState: state.hardState, snapshot, entries: found.entries };
  }

  async write(batch: PersistBatch): Promise<void> {
    await this.#commit(batch, () => {});
  }

  async close(): Promise<void> {
    this.#failure ??= new Error(`the Raft database ${this.#directory} is closed`);
    await this.#database.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #commit(batch: PersistBatch, extra: (to: Batch) => void): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    assert(!this.#writing, 'one write at a time');
    assert(this.#position !== null, 'load before the first write');
    this.#writing = true;
    try {
      const to = this.#database.batch();
      extra(to);
      this.#stage(to, this.#position, batch);
      await to.write({ sync: true });
    } catch (cause) {
      if (cause instanceof InvariantError) this.#failure ??= cause;
      // What of this write is on disk is not known, and a later fsync may claim success for pages that are gone.
      this.#failure ??= new Error(
        `cannot write the Raft database ${this.#directory}: ${detail(cause)}; free or replace the disk and restart`,
        { cause },
      );
      throw this.#failure;
    } finally {
      this.#writing = false;
    }
  }

  /** Turns a batch into puts and deletes, and moves `position` to where the log stands after it. */
  #stage(to: Batch, position: Position, batch: PersistBatch): void {
    const before = position.base.index;
    const last = position.links.at(-1) ?? position.base;
    const plan = planWrite(
      { base: position.base, last, termAt: (index) => linkAt(position, index).term },
      batch,
      position.snapshot.index,
    );
    for (let i = before + 1; i <= Math.min(plan.base.index, last.index); i++) to.del(logKey(toLogIndex(i)));
    for (let i = Math.max(plan.base.index, plan.keepTo) + 1; i <= last.index; i++) {
      to.del(logKey(toLogIndex(i)));
    }
    moveBase(position, plan);
    for (const entry of plan.puts) {
      const { bytes, link } = encodeLogRecord(position.links.at(-1) ?? position.base, entry);
      to.put(logKey(entry.index), bytes);
      position.links.push(link);
    }
    if (batch.snapshot !== null) stageSnapshot(to, position, batch.snapshot);
    position.writeSequence++;
    const state = encodeState({
      hardState: batch.hardState,
      writeSequence: position.writeSequence,
      base: position.base,
      last: position.links.at(-1) ?? position.base,
      snapshotIndex: position.snapshot.index,
    });
    to.put(STATE_KEY, state);
  }
}

function linkAt(position: Position, index: LogIndex): Link {
  const link =
    index === position.base.index ? position.base : position.links[index - position.base.index - 1];
  assert(link !== undefined, `no entry ${index} is stored`);
  return link;
}

/** Drops the links that the plan does not keep, at both ends. */
function moveBase(position: Position, plan: WritePlan): void {
  const before = position.base.index;
  position.links.length = Math.max(0, plan.keepTo - before);
  if (plan.base.index === before) return;
  const known = position.links[plan.base.index - before - 1];
  position.links.splice(0, plan.base.index - before);
  position.base = known?.term === plan.base.term ? known : startOfChain(plan.base);
}

function stageSnapshot(to: Batch, position: Position, snapshot: Snapshot): void {
  const { data, meta } = snapshot;
  assert(data.length <= MAX_FRAME_BYTES, `a snapshot of ${data.length} bytes is too large`);
  const old = position.snapshot;
  for (let n = 0; n < old.chunks; n++) to.del(chunkKey(old.index, n));
  const chunks = chunkCount(snapshot);
  for (let n = 0; n < chunks; n++) {
    const chunk = data.subarray(n * SNAPSHOT_CHUNK_BYTES, (n + 1) * SNAPSHOT_CHUNK_BYTES);
    to.put(chunkKey(meta.last.index, n), Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  }
  const record = encodeSnapshotRecord({
    last: meta.last,
    configuration: meta.configuration,
    length: data.length,
    sha256: createHash('sha256').update(data).digest(),
  });
  to.put(SNAPSHOT_KEY, record);
  position.snapshot = { index: meta.last.index, chunks };
}

function chunkCount(snapshot: Snapshot): number {
  return Math.ceil(snapshot.data.length / SNAPSHOT_CHUNK_BYTES);
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

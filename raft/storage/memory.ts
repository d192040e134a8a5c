/**
 * A storage without a disk, for tests and the simulator. What `commit` took is durable, at once and as a whole, so a
 * torn batch cannot exist; when a write becomes durable, and which ones a crash loses, is decided by whoever calls it.
 * Keeps the same checks as the real one. Never shares an array with its caller.
 */
import type { InitialState } from '../core/bootstrap.ts';
import {
  assert,
  type Entry,
  type EntryId,
  type HardState,
  type LogIndex,
  type Snapshot,
  type Term,
  ZERO_ENTRY,
} from '../core/types.ts';
import {
  type PeerPositions,
  type PersistBatch,
  type Position,
  type RaftStorage,
  type Recovered,
  StorageDamagedError,
} from './storage.ts';
import { planWrite, type StoredLog } from './write-plan.ts';

export class MemoryStorage implements RaftStorage, StoredLog {
  #hardState: HardState;
  #snapshot: Snapshot | null;
  #base: EntryId;
  #entries: Entry[];
  #writeSequence = 1;
  #seen: PeerPositions = new Map();
  #damage: StorageDamagedError | null = null;
  #writeError: Error | null = null;

  constructor(initial: InitialState) {
    this.#hardState = initial.hardState;
    this.#snapshot = initial.snapshot;
    this.#base = initial.snapshot?.meta.last ?? ZERO_ENTRY;
    this.#entries = [...initial.entries];
    const first = this.#entries[0];
    assert(first === undefined || first.index === this.#base.index + 1, 'entries do not follow the snapshot');
  }

  get base(): EntryId {
    return this.#base;
  }

  get last(): EntryId {
    const entry = this.#entries.at(-1);
    return entry === undefined ? this.#base : { term: entry.term, index: entry.index };
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  get snapshot(): Snapshot | null {
    return this.#snapshot;
  }

  get position(): Position {
    return { writeSequence: this.#writeSequence, term: this.#hardState.term };
  }

  termAt(index: LogIndex): Term {
    if (index === this.#base.index) return this.#base.term;
    const entry = this.entryAt(index);
    assert(entry !== null, `no entry ${index} is stored`);
    return entry.term;
  }

  entryAt(index: LogIndex): Entry | null {
    return this.#entries[index - this.#base.index - 1] ?? null;
  }

  /** The same disk in the hands of a new process. */
  reopened(): MemoryStorage {
    const storage = new MemoryStorage({ hardState: this.#hardState, snapshot: this.#snapshot, entries: [] });
    storage.#base = this.#base;
    storage.#entries = [...this.#entries];
    storage.#writeSequence = this.#writeSequence;
    storage.#seen = this.#seen;
    storage.#damage = this.#damage;
    return storage;
  }

  /** The synchronous face of `load`. */
  recover(): Recovered {
    if (this.#damage !== null) throw this.#damage;
    return {
      hardState: this.#hardState,
      snapshot: this.#snapshot,
      entries: [...this.#entries],
      seen: this.#seen,
    };
  }

  /** The synchronous face of `write`. */
  commit(batch: PersistBatch): void {
    if (this.#writeError !== null) throw this.#writeError;
    const plan = planWrite(this, batch, this.#snapshotIndex());
    const dropped = plan.base.index - this.#base.index;
    this.#entries.length = Math.max(0, plan.keepTo - this.#base.index);
    if (dropped > 0) this.#entries.splice(0, dropped);
    this.#entries.push(...plan.puts);
    this.#base = plan.base;
    this.#hardState = batch.hardState;
    this.#snapshot = batch.snapshot ?? this.#snapshot;
    this.#writeSequence++;
  }

  /** From now on nothing here can be believed. */
  damage(sentence: string): void {
    this.#damage = new StorageDamagedError(sentence);
  }

  /** Every write from now on fails. */
  failWrites(error: Error): void {
    this.#writeError = error;
  }

  async load(): Promise<Recovered> {
    return this.recover();
  }

  async write(batch: PersistBatch): Promise<void> {
    this.commit(batch);
  }

  /** Without a disk there is nothing to do ahead. */
  async stageSnapshot(_snapshot: Snapshot): Promise<void> {
    if (this.#writeError !== null) throw this.#writeError;
  }

  async remember(seen: PeerPositions): Promise<void> {
    if (this.#writeError !== null) throw this.#writeError;
    this.#seen = new Map(seen);
  }

  async close(): Promise<void> {
    this.#writeError ??= new Error('the storage is closed');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #snapshotIndex(): LogIndex {
    return (this.#snapshot?.meta.last ?? ZERO_ENTRY).index;
  }
}

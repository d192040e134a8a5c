/** The layout over a map: a storage whose every record and every write can be seen. */

import type { InitialState } from '../../../../raft/core/bootstrap.ts';
import type { Snapshot } from '../../../../raft/core/types.ts';
import {
  encodeSlot,
  FENCE_BYTES,
  type Fence,
  fenceOfNothing,
  slotOffset,
} from '../../../../raft/storage/fence.ts';
import { Layout, type RecordSink } from '../../../../raft/storage/layout.ts';
import type { StorageIdentity } from '../../../../raft/storage/records.ts';
import type {
  PeerPositions,
  PersistBatch,
  Position,
  RaftStorage,
  Recovered,
} from '../../../../raft/storage/storage.ts';
import {
  type DatabaseContents,
  type RawRecord,
  verifyDatabase,
} from '../../../../raft/storage/verification.ts';

export class KeyValueDisk {
  readonly #records = new Map<string, Buffer>();
  readonly #fence = Buffer.alloc(FENCE_BYTES);
  #number = 0;

  /** One atomic write. */
  write<T>(fill: (to: RecordSink) => T): T {
    return fill({
      put: (key, value) => this.#records.set(key.toString('hex'), Buffer.from(value)),
      del: (key) => this.#records.delete(key.toString('hex')),
    });
  }

  writeFence(fence: Fence): void {
    const number = this.#number++;
    encodeSlot({ number, fence }).copy(this.#fence, slotOffset(number));
  }

  /** In the order of their keys. */
  records(): RawRecord[] {
    return [...this.#records]
      .map(([key, value]): RawRecord => [Buffer.from(key, 'hex'), value])
      .toSorted(([a], [b]) => Buffer.compare(a, b));
  }

  verified(identity: StorageIdentity): DatabaseContents {
    return verifyDatabase('here', this.records(), this.#fence, identity);
  }
}

export class KeyValueStorage implements RaftStorage {
  readonly #disk: KeyValueDisk;
  readonly #identity: StorageIdentity;
  #layout: Layout | null = null;
  #fence: Fence;
  #failure: Error | null = null;

  constructor(disk: KeyValueDisk, identity: StorageIdentity) {
    this.#disk = disk;
    this.#identity = identity;
    this.#fence = fenceOfNothing(identity.replica);
  }

  static create(disk: KeyValueDisk, identity: StorageIdentity, initial: InitialState): KeyValueStorage {
    const storage = new KeyValueStorage(disk, identity);
    const { hardState, snapshot, entries } = initial;
    storage.#layout = Layout.create(
      identity,
      disk.records().map(([key]) => key),
    );
    storage.#write({
      hardState,
      snapshot,
      entries,
      compactTo: snapshot?.meta.last.index ?? null,
      truncateFrom: null,
    });
    return storage;
  }

  get position(): Position {
    return { writeSequence: this.#fence.writeSequence, term: this.#fence.term };
  }

  async load(): Promise<Recovered> {
    const contents = this.#disk.verified(this.#identity);
    this.#layout = Layout.of(contents);
    this.#fence = contents.fence.fence;
    const { state, snapshot, entries, seen } = contents;
    return { hardState: state.hardState, snapshot, entries, seen: seen.seen };
  }

  async write(batch: PersistBatch): Promise<void> {
    this.#write(batch);
  }

  async stageSnapshot(snapshot: Snapshot): Promise<void> {
    this.#stageSnapshot(snapshot);
  }

  async remember(seen: PeerPositions): Promise<void> {
    const layout = this.#usable();
    const seenSequence = this.#disk.write((to) => layout.remember(seen, to));
    this.#record({ seenSequence });
  }

  async close(): Promise<void> {
    this.#failure ??= new Error('closed');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #write(batch: PersistBatch): void {
    if (batch.snapshot !== null) this.#stageSnapshot(batch.snapshot);
    const layout = this.#usable();
    this.#record(this.#disk.write((to) => layout.stage(batch, to)));
  }

  #stageSnapshot(snapshot: Snapshot): void {
    for (const [key, value] of this.#usable().stageSnapshot(snapshot)) {
      this.#disk.write((to) => to.put(key, value));
    }
  }

  #record(change: Partial<Fence>): void {
    this.#fence = { ...this.#fence, ...change };
    this.#disk.writeFence(this.#fence);
  }

  #usable(): Layout {
    if (this.#failure !== null) throw this.#failure;
    if (this.#layout === null) throw new Error('not loaded');
    return this.#layout;
  }
}

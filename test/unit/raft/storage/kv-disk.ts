/** The layout over a map: a storage whose every record and every write can be seen. */
import { Layout, type RecordSink } from '../../../../raft/storage/layout.ts';
import type { StorageIdentity } from '../../../../raft/storage/records.ts';
import type { PersistBatch, RaftStorage, Recovered } from '../../../../raft/storage/storage.ts';
import { type RawRecord, verifyDatabase } from '../../../../raft/storage/verification.ts';

export class KeyValueDisk {
  readonly #records = new Map<string, Buffer>();

  /** One atomic write. */
  write(fill: (to: RecordSink) => void): void {
    fill({
      put: (key, value) => this.#records.set(key.toString('hex'), Buffer.from(value)),
      del: (key) => this.#records.delete(key.toString('hex')),
    });
  }

  records(): RawRecord[] {
    return [...this.#records]
      .map(([key, value]): RawRecord => [Buffer.from(key, 'hex'), value])
      .toSorted(([a], [b]) => Buffer.compare(a, b));
  }
}

export class KeyValueStorage implements RaftStorage {
  readonly #disk: KeyValueDisk;
  readonly #identity: StorageIdentity;
  #layout: Layout | null = null;
  #failure: Error | null = null;

  constructor(disk: KeyValueDisk, identity: StorageIdentity) {
    this.#disk = disk;
    this.#identity = identity;
  }

  static create(disk: KeyValueDisk, identity: StorageIdentity, initial: Recovered): KeyValueStorage {
    const storage = new KeyValueStorage(disk, identity);
    storage.#layout = Layout.create(
      identity,
      disk.records().map(([key]) => key),
    );
    storage.#write({ ...initial, compactTo: initial.snapshot?.meta.last.index ?? null, truncateFrom: null });
    return storage;
  }

  async load(): Promise<Recovered> {
    const contents = verifyDatabase('here', this.#disk.records(), this.#identity);
    this.#layout = Layout.of(contents);
    return { hardState: contents.state.hardState, snapshot: contents.snapshot, entries: contents.entries };
  }

  async write(batch: PersistBatch): Promise<void> {
    this.#write(batch);
  }

  async close(): Promise<void> {
    this.#failure ??= new Error('closed');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #write(batch: PersistBatch): void {
    const layout = this.#layout;
    if (this.#failure !== null) throw this.#failure;
    if (layout === null) throw new Error('not loaded');
    const pieces = batch.snapshot === null ? [] : layout.stageSnapshot(batch.snapshot);
    for (const [key, value] of pieces) this.#disk.write((to) => to.put(key, value));
    this.#disk.write((to) => layout.stage(batch, to));
  }
}

/**
 * The Raft database as records, whatever key-value disk they lie on: which puts and deletes a batch means, and where the
 * stored log stands after it. Owns no I/O, so the simulator runs the very format that LevelDB holds. It never looks back
 * at the disk: what was staged is taken to be durable, and after a failed write the layout is worth nothing.
 *
 *   const layout = Layout.create(identity, []);       // a new database, or
 *   const layout = Layout.of(verifyDatabase(name, records, fence, identity));
 *   for (const [key, value] of layout.stageSnapshot(snapshot)) ...   // any writes, durable before the batch
 *   const standing = layout.stage(batch, sink);                     // one atomic write
 *   encodeSlot({ number: ++number, fence: { ...fence, ...standing } })   // to slotOffset(number), once that is durable
 */
import {
  assert,
  type EntryId,
  type LogIndex,
  type Snapshot,
  type Term,
  toLogIndex,
  ZERO_ENTRY,
} from '../core/types.ts';
import { MAX_SNAPSHOT_BYTES } from '../limits.ts';
import { type Standing, standingOf } from './fence.ts';
import {
  chunkCount,
  chunkGeneration,
  chunkKey,
  encodeIdentity,
  encodeLogRecord,
  encodeSeen,
  encodeSnapshotRecord,
  encodeState,
  IDENTITY_KEY,
  isClusterId,
  type Link,
  logKey,
  SEEN_KEY,
  SNAPSHOT_CHUNK_BYTES,
  SNAPSHOT_KEY,
  STATE_KEY,
  type StateRecord,
  type StorageIdentity,
  startOfChain,
} from './records.ts';
import type { PeerPositions, PersistBatch } from './storage.ts';
import type { DatabaseContents, RawRecord, StoredSnapshot } from './verification.ts';
import { planWrite, type StoredLog, type WritePlan } from './write-plan.ts';

/** Takes the records of one atomic write. A chained batch of LevelDB is one. */
export interface RecordSink {
  put(key: Buffer, value: Buffer): unknown;
  del(key: Buffer): unknown;
}

/** Its chunks are on the disk, and no m/snap names them yet. */
interface StagedSnapshot extends StoredSnapshot {
  readonly last: EntryId;
  readonly digest: Uint8Array;
}

export class Layout implements StoredLog {
  /** Goes out with the first batch; null once it did. */
  #unwritten: StorageIdentity | null;
  #base: Link;
  /** One for each stored entry after `base`. */
  readonly #links: Link[];
  #writeSequence: number;
  #snapshotIndex: LogIndex;
  #stored: StoredSnapshot;
  #seenSequence: number;
  /** One may be staged while another waits for its batch. */
  #staged: StagedSnapshot[] = [];
  /** Chunks that nothing names: they go with the next batch. */
  #garbage: Buffer[];
  /** Above all that were ever used. */
  #nextGeneration: number;

  /** Of a database without any batch; `orphans` are the chunks that an earlier attempt left in it. */
  static create(identity: StorageIdentity, orphans: readonly Buffer[]): Layout {
    assert(isClusterId(identity.cluster), `cluster id out of range: ${identity.cluster}`);
    return new Layout(identity, { ...NOTHING, orphans });
  }

  static of(contents: DatabaseContents): Layout {
    return new Layout(null, contents);
  }

  private constructor(unwritten: StorageIdentity | null, contents: Beginning) {
    const { state, links, stored, seen, orphans } = contents;
    this.#unwritten = unwritten;
    this.#base = state.base;
    this.#links = [...links];
    this.#writeSequence = state.writeSequence;
    this.#snapshotIndex = state.snapshotIndex;
    this.#stored = stored;
    this.#seenSequence = seen.sequence;
    this.#garbage = [...orphans];
    const generations = orphans.map((key) => chunkGeneration(key) ?? 0);
    this.#nextGeneration = Math.max(stored.generation, ...generations) + 1;
  }

  get base(): EntryId {
    return this.#base;
  }

  get last(): EntryId {
    return this.#end;
  }

  termAt(index: LogIndex): Term {
    const link = index === this.#base.index ? this.#base : this.#links[index - this.#base.index - 1];
    assert(link !== undefined, `no entry ${index} is stored`);
    return link.term;
  }

  /**
   * The records of a snapshot's data, made one by one as they are taken. They may go to the disk in any number of writes
   * beside those of batches; all of them have to be durable before `stage` is given the snapshot. None when they are there.
   */
  *stageSnapshot(snapshot: Snapshot): Generator<RawRecord, void> {
    const { meta, data, digest } = snapshot;
    assert(data.length <= MAX_SNAPSHOT_BYTES, `a snapshot of ${data.length} bytes is too large`);
    if (this.#staged.some((staged) => isOf(staged, snapshot))) return;
    const generation = this.#nextGeneration++;
    const chunks = chunkCount(data.length);
    for (let n = 0; n < chunks; n++) {
      const chunk = data.subarray(n * SNAPSHOT_CHUNK_BYTES, (n + 1) * SNAPSHOT_CHUNK_BYTES);
      yield [chunkKey(generation, n), Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)];
    }
    this.#staged.push({ generation, chunks, last: meta.last, digest });
  }

  /**
   * Turns a batch into puts and deletes. One that contradicts the log stops the process before it reaches `to`. Returns
   * where the database stands once the write is durable: what the fence has to say then, before any answer leaves.
   */
  stage(batch: PersistBatch, to: RecordSink): Standing {
    const plan = planWrite(this, batch, this.#snapshotIndex);
    if (this.#unwritten !== null) to.put(IDENTITY_KEY, encodeIdentity(this.#unwritten));
    this.#unwritten = null;
    this.#stageLog(plan, to);
    if (batch.snapshot !== null) this.#adopt(batch.snapshot, to);
    for (const key of this.#garbage) to.del(key);
    this.#garbage = [];
    this.#writeSequence++;
    const state: StateRecord = {
      hardState: batch.hardState,
      writeSequence: this.#writeSequence,
      base: this.#base,
      last: this.#end,
      snapshotIndex: this.#snapshotIndex,
    };
    to.put(STATE_KEY, encodeState(state));
    return standingOf(state);
  }

  /** A write of its own, beside those of batches. Returns its number, for the fence. */
  remember(seen: PeerPositions, to: RecordSink): number {
    this.#seenSequence++;
    to.put(SEEN_KEY, encodeSeen({ sequence: this.#seenSequence, seen }));
    return this.#seenSequence;
  }

  get #end(): Link {
    return this.#links.at(-1) ?? this.#base;
  }

  #stageLog(plan: WritePlan, to: RecordSink): void {
    const first = this.#base.index + 1;
    const last = this.#end.index;
    for (let i = first; i <= Math.min(plan.base.index, last); i++) to.del(logKey(toLogIndex(i)));
    for (let i = Math.max(plan.base.index, plan.keepTo) + 1; i <= last; i++) to.del(logKey(toLogIndex(i)));
    this.#keep(plan);
    for (const entry of plan.puts) {
      const { bytes, link } = encodeLogRecord(this.#end, entry);
      to.put(logKey(entry.index), bytes);
      this.#links.push(link);
    }
  }

  /** Drops the links that the plan does not keep, at both ends. */
  #keep(plan: WritePlan): void {
    const before = this.#base.index;
    this.#links.length = Math.max(0, plan.keepTo - before);
    if (plan.base.index === before) return;
    const known = this.#links[plan.base.index - before - 1];
    this.#links.splice(0, plan.base.index - before);
    this.#base = known?.term === plan.base.term ? known : startOfChain(plan.base);
  }

  /** The staged snapshot takes the place of the stored one. */
  #adopt(snapshot: Snapshot, to: RecordSink): void {
    const { meta, data, digest } = snapshot;
    const staged = this.#staged.find((each) => isOf(each, snapshot));
    assert(staged !== undefined, 'a snapshot is staged before it is written');
    const { generation, chunks } = staged;
    to.put(SNAPSHOT_KEY, encodeSnapshotRecord({ ...meta, generation, length: data.length, sha256: digest }));
    this.#discard(this.#stored);
    this.#stored = { generation, chunks };
    this.#snapshotIndex = meta.last.index;
    // Snapshots only go forward: what is not newer is never written any more.
    for (const each of this.#staged) {
      if (each !== staged && each.last.index <= meta.last.index) this.#discard(each);
    }
    this.#staged = this.#staged.filter(({ last }) => last.index > meta.last.index);
  }

  #discard({ generation, chunks }: StoredSnapshot): void {
    for (let n = 0; n < chunks; n++) this.#garbage.push(chunkKey(generation, n));
  }
}

type Beginning = Pick<DatabaseContents, 'links' | 'stored' | 'orphans'> & {
  readonly seen: Pick<DatabaseContents['seen'], 'sequence'>;
  readonly state: Pick<DatabaseContents['state'], 'base' | 'writeSequence' | 'snapshotIndex'>;
};

const NOTHING: Beginning = {
  state: { base: startOfChain(ZERO_ENTRY), writeSequence: 0, snapshotIndex: ZERO_ENTRY.index },
  links: [],
  stored: { generation: 0, chunks: 0 },
  seen: { sequence: 0 },
  orphans: [],
};

function isOf(staged: StagedSnapshot, { meta, digest }: Snapshot): boolean {
  const { last } = staged;
  return (
    last.index === meta.last.index &&
    last.term === meta.last.term &&
    Buffer.compare(staged.digest, digest) === 0
  );
}

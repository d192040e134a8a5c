/**
 * The bytes on one simulated disk: the real records and the real fence over a map, and what bad disks do to them. What
 * was put is there, or, after a fault, what the fault made of it; whether that is noticed is the format's to show.
 *
 * A fault is injected only where the format promises to notice it; what nothing could notice is no fault but a loss that
 * Raft does not survive either.
 */
import type { InitialState } from '../core/bootstrap.ts';
import type { ReplicaId, Snapshot } from '../core/types.ts';
import { FENCE_SYNC_WRITES } from '../limits.ts';
import {
  encodeSlot,
  FENCE_BYTES,
  type Fence,
  fenceOfNothing,
  nextSlot,
  slotOffset,
  standingOf,
} from '../storage/fence.ts';
import { Layout, type RecordSink } from '../storage/layout.ts';
import type { PeerPositions, PersistBatch, Position, Recovered } from '../storage/storage.ts';
import { type RawRecord, verifyDatabase } from '../storage/verification.ts';
import type { Random } from './random.ts';

/** Writes that can still be undone. */
const UNDO_WRITES = 8;

/** A key and what it held before. */
type Undo = readonly [key: string, before: Buffer | undefined][];

/** A copy of everything, as a backup or a virtual machine's snapshot makes one. */
export interface DatabaseImage {
  readonly records: ReadonlyMap<string, Buffer>;
  readonly fence: Buffer;
  readonly position: Position;
}

export class SimulatedDatabase {
  readonly #identity: { readonly cluster: string; readonly replica: ReplicaId };
  #records = new Map<string, Buffer>();
  #undo: Undo[] = [];
  #layout: Layout;
  #fence: Fence;
  /** As a crash of the process leaves it, and as a power cut does. */
  #fenceFile: Buffer = Buffer.alloc(FENCE_BYTES);
  #syncedFenceFile: Buffer = Buffer.alloc(FENCE_BYTES);
  #slot = 0;
  #unsyncedSlots = 0;
  /** And nothing was written since: the fence may say less than the database. */
  #wasCut = false;

  constructor(replica: ReplicaId, initial: InitialState) {
    this.#identity = { cluster: 'simulated', replica };
    this.#layout = Layout.create(this.#identity, []);
    this.#fence = fenceOfNothing(replica);
    encodeSlot({ number: this.#slot, fence: this.#fence }).copy(this.#fenceFile, slotOffset(this.#slot));
    this.#fenceFile.copy(this.#syncedFenceFile);
    const { hardState, snapshot, entries } = initial;
    this.commit({ hardState, snapshot, entries, compactTo: null, truncateFrom: null });
  }

  /** What is durable, by the fence. */
  get position(): Position {
    return this.#fence;
  }

  /** One atomic write, its snapshot's data before it, its fence after it. */
  commit(batch: PersistBatch): void {
    if (batch.snapshot !== null) this.#stage(batch.snapshot);
    this.#recordFence(this.#write((to) => this.#layout.stage(batch, to)));
  }

  remember(seen: PeerPositions): void {
    this.#recordFence({ seenSequence: this.#write((to) => this.#layout.remember(seen, to)) });
  }

  /** Verifies everything, as a starting process does. Throws StorageDamagedError. */
  load(): Recovered {
    const contents = verifyDatabase('here', this.#sorted(), this.#fenceFile, this.#identity);
    this.#layout = Layout.of(contents);
    const { state, snapshot, entries, seen } = contents;
    this.#fence = contents.fence.fence;
    this.#slot = contents.fence.number;
    this.#syncFence();
    this.#recordFence({ ...standingOf(state), seenSequence: seen.sequence });
    return { hardState: state.hardState, snapshot, entries, seen: seen.seen };
  }

  /** What had not been synced is gone: that is the fence, nothing else is ever written without. */
  cutPower(): void {
    this.#syncedFenceFile.copy(this.#fenceFile);
    this.#wasCut = true;
  }

  /**
   * A write was under way: some of its snapshot is there, the rest is not, and after a power cut the slot of the fence is
   * half written; what only the process leaves behind is whole.
   */
  tear(batch: PersistBatch, random: Random): void {
    const [chunk] = batch.snapshot === null ? [] : this.#layout.stageSnapshot(batch.snapshot);
    if (chunk !== undefined) this.#write((to) => to.put(...chunk));
    if (!this.#wasCut) return;
    const start = slotOffset(this.#nextSlot);
    this.#fenceFile.fill(random.uint32(), start, start + random.integer(1, 60));
  }

  /**
   * The newest synced writes of the database are gone, as from the end of a log file that was cut. The fence is not: had
   * its newest words gone as well, in a power cut, nothing in here could tell, and only the peers would know.
   */
  loseTail(random: Random): boolean {
    if (this.#wasCut) return false;
    const lost = this.#undo.splice(Math.max(0, this.#undo.length - random.integer(1, UNDO_WRITES)));
    for (const [key, before] of lost.reverse().flat()) {
      if (before === undefined) this.#records.delete(key);
      else this.#records.set(key, before);
    }
    return lost.length > 0;
  }

  /** One bit of one record, its key or its value. */
  flipBit(random: Random): boolean {
    const [key, value] = random.pick([...this.#records]) ?? [];
    if (key === undefined || value === undefined) return false;
    if (value.length > 0 && random.chance(0.9)) {
      this.#records.set(key, flipped(value, random));
    } else {
      this.#records.delete(key);
      this.#records.set(flipped(Buffer.from(key, 'latin1'), random).toString('latin1'), value);
    }
    return true;
  }

  image(): DatabaseImage {
    return {
      records: new Map(this.#records),
      fence: Buffer.from(this.#fenceFile),
      position: this.#fence,
    };
  }

  /** The whole directory as it was, fence included: from inside there is nothing to notice. */
  rollBack({ records, fence }: DatabaseImage): void {
    this.#records = new Map(records);
    this.#fenceFile = Buffer.from(fence);
    this.#syncedFenceFile = Buffer.from(fence);
    this.#undo = [];
  }

  #stage(snapshot: Snapshot): void {
    for (const [key, value] of this.#layout.stageSnapshot(snapshot)) {
      this.#write((to) => to.put(key, value));
    }
  }

  #write<T>(fill: (to: RecordSink) => T): T {
    const undo: [string, Buffer | undefined][] = [];
    const result = fill({
      put: (key, value) => {
        const name = key.toString('latin1');
        undo.unshift([name, this.#records.get(name)]);
        this.#records.set(name, value);
      },
      del: (key) => {
        const name = key.toString('latin1');
        undo.unshift([name, this.#records.get(name)]);
        this.#records.delete(name);
      },
    });
    this.#undo.push(undo);
    if (this.#undo.length > UNDO_WRITES) this.#undo.shift();
    return result;
  }

  /** As the fence's file does it: a term or a vote is synced at once, the rest now and then. */
  #recordFence(change: Partial<Fence>): void {
    const before = this.#fence;
    this.#fence = { ...before, ...change };
    this.#slot = this.#nextSlot;
    encodeSlot({ number: this.#slot, fence: this.#fence }).copy(this.#fenceFile, slotOffset(this.#slot));
    this.#unsyncedSlots += 1;
    this.#wasCut = false;
    const isPromise = this.#fence.term !== before.term || this.#fence.vote !== before.vote;
    if (isPromise || this.#unsyncedSlots >= FENCE_SYNC_WRITES) this.#syncFence();
  }

  get #nextSlot(): number {
    return nextSlot(this.#slot, this.#unsyncedSlots === 0);
  }

  #syncFence(): void {
    this.#fenceFile.copy(this.#syncedFenceFile);
    this.#unsyncedSlots = 0;
  }

  #sorted(): RawRecord[] {
    return [...this.#records]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [Buffer.from(key, 'latin1'), value]);
  }
}

function flipped(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.integer(0, copy.length - 1);
  copy.writeUInt8((copy[at] ?? 0) ^ (1 << random.integer(0, 7)), at);
  return copy;
}

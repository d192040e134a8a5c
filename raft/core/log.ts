/**
 * The log as it is in memory: a snapshot and the entries above it, and below it the trailing entries that are kept for
 * followers slightly behind. Owns term lookup, conflict search, truncation and compaction, and the configuration in
 * force, which is always a function of snapshot and log and never remembered apart from them.
 *
 * It knows nothing of the disk (journal.ts) and nothing of commit, except that its callers never truncate below it.
 */
import { EMPTY_CONFIGURATION } from './membership.ts';
import {
  assert,
  type Configuration,
  type ConfigurationEntry,
  type Entry,
  type EntryId,
  type LogIndex,
  type Snapshot,
  type SnapshotMeta,
  type Term,
  toLogIndex,
  ZERO_ENTRY,
} from './types.ts';

/** What an entry costs beside its payload, in memory as on the wire: near enough for bounds. */
const ENTRY_OVERHEAD_BYTES = 32;
const REPLICA_ID_BYTES = 8;

export function entryBytes(entry: Entry): number {
  switch (entry.kind) {
    case 'noop':
      return ENTRY_OVERHEAD_BYTES;
    case 'command':
      return ENTRY_OVERHEAD_BYTES + entry.payload.length;
    case 'configuration': {
      const { voters, outgoing, learners } = entry.configuration;
      return ENTRY_OVERHEAD_BYTES + REPLICA_ID_BYTES * (voters.length + outgoing.length + learners.length);
    }
  }
}

/** Indexes without holes from `prev` on, and terms that never go down. */
export function follows(prev: EntryId, entries: readonly Entry[]): boolean {
  let before = prev;
  for (const entry of entries) {
    if (entry.index !== before.index + 1 || entry.term < before.term || entry.term === 0) return false;
    before = entry;
  }
  return true;
}

export class RaftLog {
  #snapshot: Snapshot | null;
  /** Contiguous. Invariant: the first is at most snapshot + 1, the last at least snapshot, or there is none. */
  #entries: Entry[];
  /** The configuration entries above the snapshot, oldest first. */
  #configurations: ConfigurationEntry[];

  constructor(snapshot: Snapshot | null, entries: readonly Entry[]) {
    this.#snapshot = snapshot;
    this.#entries = [...entries];
    const floor = this.snapshotLast;
    const first = this.#entries[0];
    const last = this.#entries.at(-1);
    // A crash between the durable snapshot and the lazy deletion of what it covers leaves only covered entries.
    if (last !== undefined && last.index < floor.index) this.#entries = [];
    else if (first !== undefined) {
      assert(first.index <= floor.index + 1, `hole between snapshot ${floor.index} and entry ${first.index}`);
      assert(
        follows({ term: first.term, index: toLogIndex(first.index - 1) }, entries),
        'log is not in order',
      );
      assert(
        this.term(floor.index) === floor.term || first.index > floor.index,
        'snapshot is of another log',
      );
    }
    this.#configurations = this.#entries.filter(isConfiguration).filter((e) => e.index > floor.index);
  }

  get snapshot(): Snapshot | null {
    return this.#snapshot;
  }

  /** The last entry of the snapshot, (0, 0) without one. */
  get snapshotLast(): EntryId {
    return this.#snapshot?.meta.last ?? ZERO_ENTRY;
  }

  get firstIndex(): LogIndex {
    return this.#entries[0]?.index ?? toLogIndex(this.snapshotLast.index + 1);
  }

  get last(): EntryId {
    const entry = this.#entries.at(-1);
    return entry === undefined ? this.snapshotLast : { term: entry.term, index: entry.index };
  }

  get lastIndex(): LogIndex {
    return this.#entries.at(-1)?.index ?? this.snapshotLast.index;
  }

  /** The latest configuration, committed or not. */
  get configuration(): Configuration {
    return (
      this.#configurations.at(-1)?.configuration ?? this.#snapshot?.meta.configuration ?? EMPTY_CONFIGURATION
    );
  }

  /** Where the latest configuration stands; what came with the snapshot stands at its end. */
  get configurationIndex(): LogIndex {
    return this.#configurations.at(-1)?.index ?? this.snapshotLast.index;
  }

  /** What a snapshot of the state at `index` must carry. `index` is not below the present snapshot. */
  metaAt(index: LogIndex): SnapshotMeta {
    const term = this.term(index);
    assert(term !== null && index >= this.snapshotLast.index, `no snapshot possible at ${index}`);
    const configuration =
      this.#configurations.findLast((entry) => entry.index <= index)?.configuration ??
      this.#snapshot?.meta.configuration ??
      EMPTY_CONFIGURATION;
    return { last: { term, index }, configuration };
  }

  /** null = compacted away, or above the end. */
  term(index: LogIndex): Term | null {
    const entry = this.#entries[index - this.firstIndex];
    if (entry !== undefined) return entry.term;
    return index === this.snapshotLast.index ? this.snapshotLast.term : null;
  }

  contains(id: EntryId): boolean {
    return this.term(id.index) === id.term;
  }

  /** Entries `from`..`to`, both included. */
  slice(from: LogIndex, to: LogIndex): readonly Entry[] {
    const first = this.firstIndex;
    assert(from >= first && to <= this.lastIndex, `entries ${from}..${to} are not in the log`);
    return this.#entries.slice(from - first, to - first + 1);
  }

  /** At least one entry from `from` on, and as many as `bytesMax` holds. Empty at the end of the log. */
  chunk(from: LogIndex, bytesMax: number): readonly Entry[] {
    const start = from - this.firstIndex;
    assert(start >= 0, `entry ${from} is compacted`);
    let end = start;
    for (let bytes = 0; end < this.#entries.length; end++) {
      const entry = this.#entries[end];
      bytes += entry === undefined ? 0 : entryBytes(entry);
      if (bytes > bytesMax && end > start) break;
    }
    return this.#entries.slice(start, end);
  }

  bytesAbove(index: LogIndex): number {
    return this.#entries
      .slice(Math.max(0, index + 1 - this.firstIndex))
      .reduce((bytes, entry) => bytes + entryBytes(entry), 0);
  }

  /**
   * The last entry at or before `id.index` whose term is not above `id.term`: the only place where another log that
   * ends in `id` can still be equal to this one (paper 5.3, skipping whole terms). Compacted entries count as equal.
   */
  lastAtMost(id: EntryId): EntryId {
    let index = Math.min(id.index, this.lastIndex);
    for (; index > 0; index--) {
      const term = this.term(toLogIndex(index));
      if (term === null) return { term: id.term, index: toLogIndex(index) };
      if (term <= id.term) return { term, index: toLogIndex(index) };
    }
    return ZERO_ENTRY;
  }

  /** The first of `entries` that this log does not hold, or null when it holds all. */
  firstMissing(entries: readonly Entry[]): LogIndex | null {
    return entries.find((entry) => !this.contains(entry))?.index ?? null;
  }

  append(entries: readonly Entry[]): void {
    assert(follows(this.last, entries), `entries do not follow ${this.lastIndex}`);
    for (const entry of entries) {
      this.#entries.push(entry);
      if (isConfiguration(entry)) this.#configurations.push(entry);
    }
  }

  /** Removes `from` and everything after it. */
  truncate(from: LogIndex): void {
    assert(from > this.snapshotLast.index, `truncating ${from} inside the snapshot`);
    this.#entries.length = Math.min(this.#entries.length, from - this.firstIndex);
    this.#configurations = this.#configurations.filter((entry) => entry.index < from);
  }

  /** Takes a newer snapshot of this same log and drops the entries up to and including `dropTo`. */
  compact(snapshot: Snapshot, dropTo: LogIndex): void {
    const { last } = snapshot.meta;
    assert(last.index > this.snapshotLast.index, 'a snapshot must be newer than the one before');
    assert(this.contains(last) && dropTo <= last.index, `snapshot ${last.index} is not of this log`);
    const drop = Math.max(0, dropTo + 1 - this.firstIndex);
    this.#entries = this.#entries.slice(drop);
    this.#snapshot = snapshot;
    this.#configurations = this.#configurations.filter((entry) => entry.index > last.index);
  }

  /** Replaces everything by a leader's snapshot. */
  restore(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#entries = [];
    this.#configurations = [];
  }
}

function isConfiguration(entry: Entry): entry is ConfigurationEntry {
  return entry.kind === 'configuration';
}

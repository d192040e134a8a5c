/**
 * What one batch does to a stored log, decided in one place for every storage: which old entries stay, which new ones
 * come, and which entry the log then starts after. Pure. A batch that contradicts the log is a bug of the caller
 * and stops the process before anything reaches the disk.
 */
import { assert, type Entry, type EntryId, type LogIndex, type Term, toLogIndex } from '../core/types.ts';
import type { PersistBatch } from './storage.ts';

/** A log as a storage sees it: entries (base, last], of which the terms are known. */
export interface StoredLog {
  /** The entry before the first stored one. */
  readonly base: EntryId;
  readonly last: EntryId;
  /** Defined for base <= index <= last. */
  termAt(index: LogIndex): Term;
}

export interface WritePlan {
  readonly base: EntryId;
  /** Old entries after this one go; those at or before `base` go too. */
  readonly keepTo: LogIndex;
  /** Follow what is kept without a gap. */
  readonly puts: readonly Entry[];
  readonly last: EntryId;
}

export function planWrite(log: StoredLog, batch: PersistBatch, snapshotIndex: LogIndex): WritePlan {
  const { hardState, truncateFrom, entries, snapshot, compactTo } = batch;
  const keepTo =
    truncateFrom === null ? log.last.index : toLogIndex(Math.min(log.last.index, truncateFrom - 1));
  const base = planBase(log, batch, keepTo);
  assert(
    keepTo >= Math.min(log.base.index, base.index),
    `truncation at ${truncateFrom} cuts into the snapshot`,
  );
  const puts = entries.filter((entry) => entry.index > base.index);
  let last: EntryId = keepTo > base.index ? { term: log.termAt(keepTo), index: keepTo } : base;
  for (const entry of puts) {
    assert(entry.index === last.index + 1, `entry ${entry.index} does not follow ${last.index}`);
    assert(entry.term >= last.term, `entry ${entry.index} has a lower term than the one before it`);
    last = { term: entry.term, index: entry.index };
  }
  const snapshotted = snapshot === null ? snapshotIndex : snapshot.meta.last.index;
  assert((compactTo ?? 0) <= snapshotted, `compaction to ${compactTo} goes beyond the snapshot`);
  assert(snapshotted <= hardState.commit, `the snapshot at ${snapshotted} is not committed`);
  assert(hardState.commit <= last.index, `commit ${hardState.commit} is beyond the last entry ${last.index}`);
  assert(hardState.term >= last.term, `term ${hardState.term} is lower than the last entry's`);
  return { base, keepTo, puts, last };
}

/** The base after the batch: where compaction leads, named by whoever knows the entry there. */
function planBase(log: StoredLog, batch: PersistBatch, keepTo: LogIndex): EntryId {
  const { entries, snapshot, compactTo } = batch;
  if (compactTo === null || compactTo <= log.base.index) return log.base;
  if (snapshot?.meta.last.index === compactTo) {
    // A log that ends at the snapshot goes as a whole; one that goes on must be the log that the snapshot is of.
    const agrees = keepTo <= compactTo || log.termAt(compactTo) === snapshot.meta.last.term;
    assert(agrees, `the log kept after ${compactTo} contradicts the snapshot`);
    return snapshot.meta.last;
  }
  const kept = compactTo <= keepTo ? { term: log.termAt(compactTo), index: compactTo } : undefined;
  const found = kept ?? entries.find((entry) => entry.index === compactTo);
  assert(found !== undefined, `compaction to ${compactTo} leads outside the log`);
  return { term: found.term, index: found.index };
}

/**
 * Several batches that wait for the disk as one write. Pure. The result leaves the log as the batches would have left it
 * one after the other; since a write is atomic, no crash can tell the difference, and every message that waits for one
 * of the batches may leave after it.
 */
import type { Persist } from '../core/effects.ts';
import type { Entry } from '../core/types.ts';
import type { PersistBatch } from '../storage/storage.ts';

export interface Group {
  readonly batch: PersistBatch;
  /** What the batch stands for, oldest first. */
  readonly members: readonly Persist[];
}

/** As many of the oldest of `waiting` as one write can carry; at least one. */
export function takeGroup(waiting: readonly [Persist, ...Persist[]]): Group {
  const [first, ...others] = waiting;
  const members = [first];
  let batch: PersistBatch = first;
  for (const next of others) {
    // A snapshot changes where the log begins: rare, and simpler alone.
    if (batch.snapshot !== null || batch.compactTo !== null) break;
    if (next.snapshot !== null || next.compactTo !== null) break;
    batch = join(batch, next);
    members.push(next);
  }
  return { batch, members };
}

function join(earlier: PersistBatch, later: PersistBatch): PersistBatch {
  const { truncateFrom } = later;
  return {
    hardState: later.hardState,
    truncateFrom: lower(earlier.truncateFrom, truncateFrom),
    entries: [...keepBelow(earlier.entries, truncateFrom), ...later.entries],
    snapshot: null,
    compactTo: null,
  };
}

function keepBelow(entries: readonly Entry[], end: number | null): readonly Entry[] {
  return end === null ? entries : entries.filter(({ index }) => index < end);
}

function lower<T extends number>(a: T | null, b: T | null): T | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}

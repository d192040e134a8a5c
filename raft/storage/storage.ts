/**
 * What the runtime needs of a disk. Implementations: level.ts (LevelDB) and memory.ts (the simulator's, with faults).
 */
import type { InitialState } from '../core/bootstrap.ts';
import type { Persist } from '../core/effects.ts';
import type { ReplicaId, Snapshot, Term } from '../core/types.ts';

/** Entries from snapshot.last.index + 1 - trailing up to the last durable one. */
export interface Recovered extends InitialState {
  /** What `remember` was last told. */
  readonly seen: PeerPositions;
}

/** How far a replica's disk was. It only ever grows: a replica that stands lower than before has lost writes. */
export interface Position {
  /** Counts the writes of its database. */
  readonly writeSequence: number;
  readonly term: Term;
}

export type PeerPositions = ReadonlyMap<ReplicaId, Position>;

/** The part of a Persist that goes to disk. */
export type PersistBatch = Omit<Persist, 'seq' | 'thenSend'>;

/** The files exist but cannot be believed: never repaired in place, never used for a vote or an acknowledgement. */
export class StorageDamagedError extends Error {
  override readonly name = 'StorageDamagedError';
}

export interface RaftStorage extends AsyncDisposable {
  /** Reads and verifies everything. Throws StorageDamagedError. */
  load(): Promise<Recovered>;
  /** What is durable now. Meaningless before `load`. */
  readonly position: Position;
  /** Atomic, and durable when it resolves. One call at a time. A rejection is final: the process must stop voting. */
  write(batch: PersistBatch): Promise<void>;
  /**
   * Puts a snapshot's data on the disk ahead of the write that carries it, in small pieces, so that writes meanwhile do
   * not wait for all of it. Changes nothing that `load` returns. A write stages what was not; a rejection is final too.
   */
  stageSnapshot(snapshot: Snapshot): Promise<void>;
  /** Makes the highest positions that peers were seen at durable, in place of the last ones. A rejection is final too. */
  remember(seen: PeerPositions): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

/**
 * What the runtime needs of a disk. Implementations: level.ts (LevelDB) and memory.ts (the simulator's, with faults).
 */
import type { Persist } from '../core/effects.ts';
import type { Entry, HardState, Snapshot } from '../core/types.ts';

export interface Recovered {
  readonly hardState: HardState;
  readonly snapshot: Snapshot | null;
  /** Contiguous, from snapshot.last.index + 1 - trailing up to the last durable entry. */
  readonly entries: readonly Entry[];
}

/** The part of a Persist that goes to disk. */
export type PersistBatch = Omit<Persist, 'seq' | 'thenSend'>;

/** The files exist but cannot be believed: never repaired in place, never used for a vote or an acknowledgement. */
export class StorageDamagedError extends Error {
  override readonly name = 'StorageDamagedError';
}

export interface RaftStorage extends AsyncDisposable {
  /** Reads and verifies everything. Throws StorageDamagedError. */
  load(): Promise<Recovered>;
  /** Atomic, and durable when it resolves. One call at a time. A rejection is final: the process must stop voting. */
  write(batch: PersistBatch): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

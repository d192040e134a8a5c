/**
 * What the core wants done, as plain data. The runtime drains it after each input, carries it out, and reports back
 * with `persisted(seq)` and `applied(index)`.
 *
 * "Durable before sent" is this type: a vote or an append acknowledgement can only leave in `persist.thenSend`.
 */
import type { Message } from './messages.ts';
import type { Entry, HardState, LogIndex, ReplicaId, Role, Snapshot, Term } from './types.ts';

/** Messages that promise nothing about the sender's disk. */
export type FreeMessage = Exclude<Message, { kind: 'vote-response' | 'append-accepted' }>;

/** One atomic, synchronous write. The runtime carries batches out strictly in the order of `seq`. */
export interface Persist {
  readonly seq: number;
  readonly hardState: HardState;
  /** Entries from here on are deleted before `entries` are put. */
  readonly truncateFrom: LogIndex | null;
  readonly entries: readonly Entry[];
  /** Replaces the stored snapshot; entries up to `compactTo` go. */
  readonly snapshot: Snapshot | null;
  /** Entries up to and including this index are deleted (they are covered by the snapshot). */
  readonly compactTo: LogIndex | null;
  /** What may leave once the write is durable. */
  readonly thenSend: readonly Message[];
}

/**
 * False for a batch that only orders its messages behind the batches before it: it is as durable as they are, so it
 * needs no write once they are confirmed. `written` is the hard state of the last batch that was written. A commit hint
 * alone is not worth a write.
 */
export function needsWrite(batch: Omit<Persist, 'seq' | 'thenSend'>, written: HardState): boolean {
  return (
    batch.entries.length > 0 ||
    batch.truncateFrom !== null ||
    batch.snapshot !== null ||
    batch.compactTo !== null ||
    batch.hardState.term !== written.term ||
    batch.hardState.vote !== written.vote
  );
}

export interface Effects {
  readonly send: readonly FreeMessage[];
  readonly persist: Persist | null;
  /** The state machine is replaced by this before `apply`. */
  readonly restore: Snapshot | null;
  /** Committed entries in log order, each exactly once. */
  readonly apply: readonly Entry[];
  /** What became of reads that were asked for, each exactly once. */
  readonly reads: readonly ReadOutcome[];
  /** Set when role, term or known leader changed. */
  readonly transition: Transition | null;
}

/**
 * `confirmed`: a state that holds everything up to `index` shows every write that was acknowledged before the read was
 * asked for. `lost`: this replica stopped leading first; the read may be asked for again.
 */
export type ReadOutcome =
  | { readonly id: number; readonly kind: 'confirmed'; readonly index: LogIndex }
  | { readonly id: number; readonly kind: 'lost' };

export interface Transition {
  readonly role: Role;
  readonly term: Term;
  readonly leader: ReplicaId | null;
}

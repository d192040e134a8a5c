/**
 * The nouns of the Raft paper as value types. Owns: the branded numbers and the one checked constructor of each.
 * `as` casts to these brands are allowed in this file only, so every Term or LogIndex in the program has passed
 * through a check.
 *
 * Terms and indexes are safe integers in memory and unsigned 64 bit on the wire and on disk.
 */

declare const brand: unique symbol;
export type Brand<T, N extends string> = T & { readonly [brand]: N };

/** Names one incarnation of a replica: minted once by the leader, never used again (raft thesis 4.1, etcd doc.go). */
export type ReplicaId = Brand<number, 'ReplicaId'>;
export type Term = Brand<number, 'Term'>;
export type LogIndex = Brand<number, 'LogIndex'>;

export function toReplicaId(n: number): ReplicaId {
  assert(Number.isSafeInteger(n) && n > 0, `replica id out of range: ${n}`);
  return n as ReplicaId;
}

export function toTerm(n: number): Term {
  assert(Number.isSafeInteger(n) && n >= 0, `term out of range: ${n}`);
  return n as Term;
}

export function toLogIndex(n: number): LogIndex {
  assert(Number.isSafeInteger(n) && n >= 0, `log index out of range: ${n}`);
  return n as LogIndex;
}

/** A broken invariant of ours: never caught, it stops the process. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** For the `default` of a switch over a discriminated union: a new member that is not handled does not compile. */
export function assertNever(value: never): never {
  throw new InvariantError(`unhandled case: ${JSON.stringify(value)}`);
}

/** Position of an entry. (0, 0) is before the first entry. */
export interface EntryId {
  readonly term: Term;
  readonly index: LogIndex;
}

export const ZERO_ENTRY: EntryId = { term: toTerm(0), index: toLogIndex(0) };

/**
 * Who votes and who listens. Joint while `outgoing` is not empty: then elections and commits need a majority of
 * `voters` and a majority of `outgoing` (paper section 6).
 * Sorted, without duplicates; `learners` and `voters` are disjoint. A voter that is being demoted stands in
 * `outgoing` and in `learners` until the joint phase ends.
 */
export interface Configuration {
  readonly voters: readonly ReplicaId[];
  readonly outgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
}

interface EntryBase extends EntryId {}

/** What a leader appends when it is elected, so that it can commit (paper section 8). */
export interface NoopEntry extends EntryBase {
  readonly kind: 'noop';
}
export interface CommandEntry extends EntryBase {
  readonly kind: 'command';
  /** Opaque to Raft. At most MAX_COMMAND_BYTES. */
  readonly payload: Uint8Array;
}
/** Active from the moment it is appended (paper section 6), on whichever replica. */
export interface ConfigurationEntry extends EntryBase {
  readonly kind: 'configuration';
  readonly configuration: Configuration;
}
export type Entry = NoopEntry | CommandEntry | ConfigurationEntry;

/** What must be durable before a vote or an acknowledgement leaves. `commit` is a hint: what was known committed. */
export interface HardState {
  readonly term: Term;
  readonly vote: ReplicaId | null;
  readonly commit: LogIndex;
}

export interface SnapshotMeta {
  /** The last entry the snapshot contains. */
  readonly last: EntryId;
  /** The configuration in force at `last`. */
  readonly configuration: Configuration;
}

export interface Snapshot {
  readonly meta: SnapshotMeta;
  /** The state machine's own bytes. */
  readonly data: Uint8Array;
  /** SHA-256 of `data`: what was taken, stored or received is this snapshot or none. */
  readonly digest: Uint8Array;
}

export type Role = 'leader' | 'follower' | 'candidate' | 'learner';

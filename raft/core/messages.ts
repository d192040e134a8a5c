/**
 * Everything replicas say to each other, one interface a message, every field used for one thing only.
 * `term` is always the sender's current term. All messages may be lost, duplicated, delayed and reordered.
 */
import type { Entry, EntryId, LogIndex, ReplicaId, SnapshotMeta, Term } from './types.ts';

interface Envelope {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly term: Term;
}

/** "Would you vote for me in `nextTerm`?" Changes no state at the receiver (thesis 9.6). */
export interface PreVoteRequest extends Envelope {
  readonly kind: 'pre-vote-request';
  readonly nextTerm: Term;
  readonly last: EntryId;
}
/** `term` may be higher than the asker's: it adopts it, so that a stale replica learns (openraft#1796). */
export interface PreVoteResponse extends Envelope {
  readonly kind: 'pre-vote-response';
  readonly nextTerm: Term;
  readonly granted: boolean;
}
export interface VoteRequest extends Envelope {
  readonly kind: 'vote-request';
  readonly last: EntryId;
  /** The leader itself has asked for this election: that it is alive is no reason to refuse (thesis 4.2.3). */
  readonly transfer: boolean;
}
export interface VoteResponse extends Envelope {
  readonly kind: 'vote-response';
  readonly granted: boolean;
}
export interface AppendRequest extends Envelope {
  readonly kind: 'append-request';
  readonly prev: EntryId;
  readonly entries: readonly Entry[];
  /** The leader's commit index. The receiver takes min(commit, prev.index + entries.length): paper figure 2 with the
   *  index of the last *new* entry, never of its own last entry. */
  readonly commit: LogIndex;
}
/** Cumulative and idempotent. Also the answer to a snapshot. */
export interface AppendAccepted extends Envelope {
  readonly kind: 'append-accepted';
  /** Everything up to here is durable at the sender and equal to the leader's log. */
  readonly match: LogIndex;
}
export interface AppendRejected extends Envelope {
  readonly kind: 'append-rejected';
  /** `prev.index` of the refused request. */
  readonly rejected: LogIndex;
  /** The highest own entry that could match: the last one at or before `rejected` with a term <= prev.term. */
  readonly hint: EntryId;
}
export interface HeartbeatRequest extends Envelope {
  readonly kind: 'heartbeat-request';
  /** min(leader commit, match of the receiver): never more than the receiver is known to hold. */
  readonly commit: LogIndex;
  /** Counts the leader's heartbeat rounds within its term: an old answer cannot prove a present quorum (etcd#20418). */
  readonly sequence: number;
}
export interface HeartbeatResponse extends Envelope {
  readonly kind: 'heartbeat-response';
  readonly sequence: number;
  /** The sender's last index: tells the leader of a lost append. */
  readonly lastIndex: LogIndex;
}
/**
 * A piece of a snapshot that replaces everything the receiver has up to `meta.last`. Each one tells all about the whole,
 * so that the first to arrive can be any of them. Never a datagram.
 */
export interface SnapshotChunk extends Envelope {
  readonly kind: 'snapshot-chunk';
  readonly meta: SnapshotMeta;
  /** Bytes of the whole. */
  readonly size: number;
  /** SHA-256 of the whole. */
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly data: Uint8Array;
}
/** While a snapshot is incomplete. When it is installed an AppendAccepted says so. */
export interface SnapshotReceived extends Envelope {
  readonly kind: 'snapshot-received';
  /** The last entry of the snapshot. */
  readonly last: EntryId;
  /** The receiver holds this many bytes from the start: the transfer goes on there, whoever leads by now. */
  readonly received: number;
}
/** "Campaign now": the receiver holds the whole log, and the sender wishes it to lead (thesis 3.10). */
export interface TimeoutNow extends Envelope {
  readonly kind: 'timeout-now';
}

export type Message =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendAccepted
  | AppendRejected
  | HeartbeatRequest
  | HeartbeatResponse
  | SnapshotChunk
  | SnapshotReceived
  | TimeoutNow;

/**
 * What a replica does with what a leader sends. Built for datagrams: every message may be old, doubled or out of order,
 * so nothing is concluded from a message but what it says itself: an old append removes nothing that matches, and the
 * commit index never passes the last entry that *this* message has proven equal.
 */
import { follows } from './log.ts';
import type { AppendRequest, HeartbeatRequest, SnapshotChunk } from './messages.ts';
import type { FollowerRole, Replica } from './replica.ts';
import { assemble } from './snapshot-transfer.ts';
import { assert, type EntryId, type LogIndex, type ReplicaId, toLogIndex } from './types.ts';

export type LeaderMessage = AppendRequest | HeartbeatRequest | SnapshotChunk;

/** Paper 5.2: whoever leads the current term is followed. Restarts the election timer. */
export function follow(replica: Replica, leader: ReplicaId): void {
  assert(replica.role.kind !== 'leader', `two leaders in term ${replica.term}: ${replica.id} and ${leader}`);
  if (replica.role.kind === 'follower' && replica.role.leader === leader) heard(replica, replica.role);
  else {
    assert(replica.leader === null, `two leaders in term ${replica.term}: ${replica.leader} and ${leader}`);
    replica.becomeFollower(replica.term, leader);
  }
}

function heard(replica: Replica, role: FollowerRole): void {
  role.heardAt = replica.now;
  role.electionAt = replica.now + role.timeoutMs;
}

/** What no correct leader can send is dropped before it changes anything, its term included. */
export function isWellFormed(message: LeaderMessage, snapshotBytesMax: number): boolean {
  switch (message.kind) {
    case 'append-request': {
      const last = message.entries.at(-1) ?? message.prev;
      return follows(message.prev, message.entries) && last.term <= message.term;
    }
    case 'snapshot-chunk': {
      const { meta, size, offset, data } = message;
      const isInside = size <= snapshotBytesMax && offset + data.length <= size;
      return meta.last.term <= message.term && isInside && (data.length > 0 || size === 0);
    }
    case 'heartbeat-request':
      return true;
  }
}

/** A leader of an earlier term learns from the term of the answer that its time is over; sequence 0 is no round. */
export function answerStaleLeader(replica: Replica, message: LeaderMessage): void {
  const { id, term, log } = replica;
  const lastIndex = log.lastIndex;
  replica.send({ kind: 'heartbeat-response', from: id, to: message.from, term, sequence: 0, lastIndex });
}

export function handleAppend(replica: Replica, message: AppendRequest): void {
  follow(replica, message.from);
  const last = toLogIndex(message.prev.index + message.entries.length);
  // What is committed is in every leader's log (paper 5.4): what the message says below needs no look.
  if (last <= replica.commit) {
    accept(replica, message.from, replica.commit);
    return;
  }
  const { prev, entries } = withoutCommitted(replica, message);
  if (!replica.log.contains(prev)) {
    reject(replica, message.from, prev);
    return;
  }
  const missing = replica.log.firstMissing(entries);
  if (missing !== null) {
    if (missing <= replica.log.lastIndex) replica.truncate(missing);
    replica.append(entries.filter((entry) => entry.index >= missing));
  }
  replica.commitTo(toLogIndex(Math.min(message.commit, last)));
  accept(replica, message.from, last);
}

function withoutCommitted(replica: Replica, message: AppendRequest): Pick<AppendRequest, 'prev' | 'entries'> {
  const { commit } = replica;
  if (message.prev.index >= commit) return message;
  const prev = message.entries[commit - message.prev.index - 1];
  assert(prev !== undefined, 'the message ends below the commit index');
  assert(
    replica.log.contains(prev),
    `a leader of term ${message.term} has another entry at ${commit}, which is committed`,
  );
  return { prev, entries: message.entries.slice(commit - message.prev.index) };
}

function accept(replica: Replica, to: ReplicaId, match: LogIndex): void {
  replica.sendAfterPersist({ kind: 'append-accepted', from: replica.id, to, term: replica.term, match });
}

function reject(replica: Replica, to: ReplicaId, prev: EntryId): void {
  replica.send({
    kind: 'append-rejected',
    from: replica.id,
    to,
    term: replica.term,
    rejected: prev.index,
    hint: replica.log.lastAtMost(prev),
  });
}

export function handleHeartbeat(replica: Replica, message: HeartbeatRequest): void {
  follow(replica, message.from);
  const { log } = replica;
  // The leader never sends more than it knows to be here. Were it not here, believing it could commit what is not equal.
  if (message.commit <= log.lastIndex) replica.commitTo(message.commit);
  replica.send({
    kind: 'heartbeat-response',
    from: replica.id,
    to: message.from,
    term: replica.term,
    sequence: message.sequence,
    lastIndex: log.lastIndex,
  });
}

export function handleSnapshotChunk(replica: Replica, message: SnapshotChunk): void {
  follow(replica, message.from);
  const { last } = message.meta;
  // Paper section 7: a snapshot of a prefix of this log tells nothing but that the prefix is committed.
  if (last.index > replica.commit && replica.log.contains(last)) replica.commitTo(last.index);
  if (last.index > replica.commit) {
    const snapshot = assemble(replica, message);
    if (snapshot === null) {
      reportReceived(replica, message);
      return;
    }
    replica.restore(snapshot);
  }
  accept(replica, message.from, replica.commit);
}

function reportReceived(replica: Replica, { from: to, meta: { last } }: SnapshotChunk): void {
  const { id, term, incoming } = replica;
  const received = incoming?.meta.last.index === last.index ? incoming.received : 0;
  replica.send({ kind: 'snapshot-received', from: id, to, term, last, received });
}

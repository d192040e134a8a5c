/**
 * What a leader does besides replication: it appends, commits, speaks to everybody in time, sees membership changes to
 * their end, and stops being leader when no quorum answers or when the committed configuration no longer holds it.
 */

import { entryBytes } from './log.ts';
import { isJoint, isVoter, leaveJoint, type Membership, members, planChange } from './membership.ts';
import { Progress } from './progress.ts';
import { quorumReached } from './quorum.ts';
import { noReads } from './reads.ts';
import type { LeaderRole, Replica } from './replica.ts';
import { replicate } from './replication.ts';
import { sendRound } from './rounds.ts';
import { expireTransfer } from './transfer.ts';
import type { Entry } from './types.ts';
import { assert, type Configuration, type EntryId, type ReplicaId, toLogIndex } from './types.ts';

export type ProposeResult =
  | { readonly kind: 'appended'; readonly id: EntryId }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId | null }
  | { readonly kind: 'busy' }
  /** Leadership is being handed over: ask again soon, whoever leads then. */
  | { readonly kind: 'transferring' }
  | { readonly kind: 'too-large' };

export type ChangeResult =
  | { readonly kind: 'appended'; readonly id: EntryId }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId | null }
  | { readonly kind: 'in-progress' }
  | { readonly kind: 'invalid'; readonly reason: string };

type Content =
  | { readonly kind: 'noop' }
  | { readonly kind: 'command'; readonly payload: Uint8Array }
  | { readonly kind: 'configuration'; readonly configuration: Configuration };

/** The election is won. The no-op lets it commit what earlier terms left (paper 5.4.2 and section 8). */
export function becomeLeader(replica: Replica): void {
  assert(replica.role.kind === 'candidate', 'only a candidate becomes leader');
  const leader: LeaderRole = {
    kind: 'leader',
    since: replica.now,
    peers: new Map(),
    sequence: 0,
    rounds: [],
    reads: noReads(),
    transfer: null,
    uncommittedBytes: replica.log.bytesAbove(replica.commit),
  };
  replica.role = leader;
  meetPeers(replica, leader);
  append(replica, leader, { kind: 'noop' });
  beat(replica, leader);
}

function append(replica: Replica, leader: LeaderRole, content: Content): EntryId {
  const id = { term: replica.term, index: toLogIndex(replica.log.lastIndex + 1) };
  const entry: Entry = { ...id, ...content };
  replica.append([entry]);
  leader.uncommittedBytes += entryBytes(entry);
  if (entry.kind === 'configuration') meetPeers(replica, leader);
  return id;
}

/** The peers are those of the configuration in force, from the moment it is appended. */
function meetPeers(replica: Replica, leader: LeaderRole): void {
  const { log, options, now } = replica;
  const ids = members(log.configuration).filter((id) => id !== replica.id);
  for (const id of leader.peers.keys()) if (!ids.includes(id)) leader.peers.delete(id);
  for (const id of ids) {
    const peer = leader.peers.get(id);
    // A promoted learner must not wait a learner's interval to count.
    if (peer === undefined) leader.peers.set(id, new Progress(toLogIndex(log.lastIndex + 1), options, now));
    else if (isVoter(log.configuration, id)) peer.heartbeatAt = now;
  }
}

export function propose(replica: Replica, payload: Uint8Array): ProposeResult {
  const { role, options } = replica;
  if (role.kind !== 'leader') return { kind: 'not-leader', leader: replica.leader };
  if (payload.length > options.maxCommandBytes) return { kind: 'too-large' };
  if (role.transfer !== null) return { kind: 'transferring' };
  if (role.uncommittedBytes + payload.length > options.maxUncommittedBytes) return { kind: 'busy' };
  return { kind: 'appended', id: append(replica, role, { kind: 'command', payload }) };
}

export function changeConfiguration(replica: Replica, target: Membership): ChangeResult {
  const { role, log } = replica;
  if (role.kind !== 'leader') return { kind: 'not-leader', leader: replica.leader };
  // Thesis 4.1 and its correction of 2015: no change before an entry of the own term is committed, or two leaders
  // could each complete a change that does not know of the other.
  const settled = log.term(replica.commit) === replica.term && log.configurationIndex <= replica.commit;
  if (!settled || isJoint(log.configuration) || role.transfer !== null) return { kind: 'in-progress' };
  const plan = planChange(log.configuration, target);
  if (plan.kind === 'invalid') return plan;
  const { configuration } = plan;
  return { kind: 'appended', id: append(replica, role, { kind: 'configuration', configuration }) };
}

/**
 * Commits what a quorum holds durably, if its last entry is of the own term (paper 5.4.2, figure 8). The leader's own
 * disk is one of the quorum, no more.
 */
export function advanceCommit(replica: Replica, leader: LeaderRole): void {
  const { log, journal } = replica;
  const reached = quorumReached(log.configuration, (id) =>
    id === replica.id ? journal.stable : (leader.peers.get(id)?.match ?? toLogIndex(0)),
  );
  if (reached <= replica.commit || log.term(reached) !== replica.term) return;
  for (const entry of log.slice(toLogIndex(replica.commit + 1), reached)) {
    leader.uncommittedBytes -= entryBytes(entry);
  }
  replica.commitTo(reached);
  if (log.configurationIndex <= reached) configurationCommitted(replica, leader);
}

/** Whoever began the joint phase, the leader of the day ends it (paper section 6). */
function configurationCommitted(replica: Replica, leader: LeaderRole): void {
  const { configuration } = replica.log;
  if (isJoint(configuration)) {
    append(replica, leader, { kind: 'configuration', configuration: leaveJoint(configuration) });
  } else if (!isVoter(configuration, replica.id)) {
    // The last word: that its own removal is committed.
    replicate(replica, leader);
    replica.becomeFollower(replica.term, null);
  }
}

/** When a quorum, itself included, last showed that it follows. */
function quorumActiveAt(replica: Replica, leader: LeaderRole): number {
  return quorumReached(replica.log.configuration, (id) =>
    id === replica.id ? replica.now : (leader.peers.get(id)?.activeAt ?? leader.since),
  );
}

export function tickLeader(replica: Replica, leader: LeaderRole): void {
  const { now, options } = replica;
  if (now >= quorumActiveAt(replica, leader) + options.electionTimeoutMsMax) {
    // Check-quorum: a leader that only reaches a minority must fall silent, or who still hears it cannot vote.
    replica.becomeFollower(replica.term, null);
    return;
  }
  expireTransfer(replica, leader);
  beat(replica, leader);
  for (const progress of leader.peers.values()) progress.expire(now);
}

export function leaderDeadline(replica: Replica, leader: LeaderRole): number {
  let deadline = Number.POSITIVE_INFINITY;
  for (const progress of leader.peers.values()) {
    deadline = Math.min(deadline, progress.heartbeatAt, progress.retransmitAt);
  }
  if (leader.transfer !== null) deadline = Math.min(deadline, leader.transfer.deadline);
  // Alone, the leader is its own quorum, at every moment.
  if (deadline === Number.POSITIVE_INFINITY) return deadline;
  return Math.min(deadline, quorumActiveAt(replica, leader) + replica.options.electionTimeoutMsMax);
}

/** One heartbeat round to everybody whose turn it is. */
function beat(replica: Replica, leader: LeaderRole): void {
  const { now, options, log } = replica;
  const due = [...leader.peers].filter(([, progress]) => now >= progress.heartbeatAt);
  if (due.length === 0) return;
  for (const [to, progress] of due) {
    const interval = isVoter(log.configuration, to) ? options.heartbeatMs : options.learnerHeartbeatMs;
    // On a common grid, so that all peers share one wake-up.
    progress.heartbeatAt = leader.since + (Math.floor((now - leader.since) / interval) + 1) * interval;
  }
  sendRound(replica, leader, due);
}

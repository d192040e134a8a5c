/**
 * ReadIndex (thesis 6.4): reads that a leader answers without writing, once a quorum has shown, after the read was asked
 * for, that it still follows. The proof is a heartbeat round of the leader's own counting, never anything a caller or a
 * peer chose, so an answer that is old or doubled proves nothing (etcd#20418). No clock is trusted.
 *
 * All reads that wait share one round, and one round is under way at a time: however many are asked for, the cost is a
 * heartbeat to each voter a round trip.
 */
import { isVoter } from './membership.ts';
import { quorumReached } from './quorum.ts';
import type { LeaderRole, Replica } from './replica.ts';
import { sendRound } from './rounds.ts';
import type { LogIndex, ReplicaId } from './types.ts';

export type ReadResult =
  | { readonly kind: 'pending'; readonly id: number }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId | null };

/** The reads of one leadership. */
export interface PendingReads {
  /** Asked for since the last round began. */
  waiting: number[];
  /** The round under way, and the commit index of when it began. */
  round: { readonly sequence: number; readonly index: LogIndex; readonly ids: readonly number[] } | null;
}

export function noReads(): PendingReads {
  return { waiting: [], round: null };
}

export function readIndex(replica: Replica): ReadResult {
  const { role } = replica;
  if (role.kind !== 'leader') return { kind: 'not-leader', leader: replica.leader };
  const id = replica.takeReadId();
  role.reads.waiting.push(id);
  return { kind: 'pending', id };
}

/** Before the first entry of its own term is committed a leader does not know what is (raft thesis 6.4, etcd#7331). */
export function advanceReads(replica: Replica, leader: LeaderRole): void {
  const { reads } = leader;
  // Whoever owed the last answer may be no voter any more, and then nobody else is asked again.
  confirmReads(replica, leader);
  const knowsCommit = replica.log.term(replica.commit) === replica.term;
  if (reads.waiting.length === 0 || reads.round !== null || !knowsCommit) return;
  const voters = [...leader.peers].filter(([id]) => isVoter(replica.log.configuration, id));
  const sequence = sendRound(replica, leader, voters);
  reads.round = { sequence, index: replica.commit, ids: reads.waiting };
  reads.waiting = [];
  confirmReads(replica, leader);
}

/** After a heartbeat was answered. */
export function confirmReads(replica: Replica, leader: LeaderRole): void {
  const { round } = leader.reads;
  if (round === null) return;
  const answered = quorumReached(replica.log.configuration, (id) =>
    id === replica.id ? leader.sequence : (leader.peers.get(id)?.answeredSequence ?? 0),
  );
  if (answered < round.sequence) return;
  leader.reads.round = null;
  for (const id of round.ids) replica.settleRead({ id, kind: 'confirmed', index: round.index });
}

/** The leadership is over. */
export function loseReads(replica: Replica, leader: LeaderRole): void {
  for (const id of [...(leader.reads.round?.ids ?? []), ...leader.reads.waiting]) {
    replica.settleRead({ id, kind: 'lost' });
  }
  leader.reads = noReads();
}

/**
 * Heartbeat rounds: numbered within a term, so that an answer proves when, and not only that, its sender followed.
 * Remembered as long as an answer can still prove a present quorum.
 */
import type { Progress } from './progress.ts';
import type { LeaderRole, Replica } from './replica.ts';
import { type ReplicaId, toLogIndex } from './types.ts';

/** Sends the next round to `peers` and returns its number. */
export function sendRound(
  replica: Replica,
  leader: LeaderRole,
  peers: readonly (readonly [ReplicaId, Progress])[],
): number {
  const { now, options, id: from, term } = replica;
  leader.sequence += 1;
  const { sequence, rounds } = leader;
  while (rounds[0] !== undefined && now - rounds[0].sentAt >= options.electionTimeoutMsMax) rounds.shift();
  rounds.push({ sequence, sentAt: now });
  for (const [to, progress] of peers) {
    const commit = toLogIndex(Math.min(progress.match, replica.commit));
    replica.send({ kind: 'heartbeat-request', from, to, term, commit, sequence });
  }
  return sequence;
}

/** When the round was sent; null for one that is too old to prove anything, or never was. */
export function roundSentAt(leader: LeaderRole, sequence: number): number | null {
  const [first] = leader.rounds;
  return first === undefined ? null : (leader.rounds[sequence - first.sequence]?.sentAt ?? null);
}

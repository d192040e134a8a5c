/**
 * Leadership transfer (thesis 3.10): the leader takes no more proposals, waits until the target holds its whole log, and
 * asks it to campaign at once (candidate.ts). It has a deadline of one election timeout: a target that is slow, dead or cut off costs
 * that much, and then the leader goes on as before (hashicorp/raft#493, #696).
 */
import type { LeaderRole, Replica } from './replica.ts';
import type { ReplicaId } from './types.ts';

export interface Transfer {
  readonly target: ReplicaId;
  readonly deadline: number;
  /** When the target was last asked to campaign. */
  askedAt: number;
}

export type TransferResult =
  | { readonly kind: 'started' }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId | null }
  | { readonly kind: 'in-progress' }
  | { readonly kind: 'invalid'; readonly reason: string };

export function transferLeadership(replica: Replica, target: ReplicaId): TransferResult {
  const { role, log, now, options } = replica;
  if (role.kind !== 'leader') return { kind: 'not-leader', leader: replica.leader };
  if (role.transfer !== null) return { kind: 'in-progress' };
  if (target === replica.id) return { kind: 'invalid', reason: `replica ${target} leads already` };
  if (!log.configuration.voters.includes(target)) {
    return { kind: 'invalid', reason: `replica ${target} is no voter` };
  }
  const deadline = now + options.electionTimeoutMsMin;
  role.transfer = { target, deadline, askedAt: Number.NEGATIVE_INFINITY };
  return { kind: 'started' };
}

/** Asks the target as soon as it is up to date, and again each heartbeat: the request may be lost. */
export function advanceTransfer(replica: Replica, leader: LeaderRole): void {
  const { transfer } = leader;
  if (transfer === null) return;
  const { now, id: from, term, options, log } = replica;
  const isUpToDate = leader.peers.get(transfer.target)?.match === log.lastIndex;
  if (!isUpToDate || now < transfer.askedAt + options.heartbeatMs) return;
  transfer.askedAt = now;
  replica.send({ kind: 'timeout-now', from, to: transfer.target, term });
}

/** It took too long, or the target votes no more. */
export function expireTransfer(replica: Replica, leader: LeaderRole): void {
  const { transfer } = leader;
  if (transfer === null) return;
  const isVoter = replica.log.configuration.voters.includes(transfer.target);
  if (replica.now >= transfer.deadline || !isVoter) leader.transfer = null;
}

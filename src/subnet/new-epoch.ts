/**
 * The state that a new epoch of a cluster begins with, after a lost quorum or from a snapshot: one member, everything
 * else as it was. All other member records go, and with them the authority of their replica ids, which are retired; the
 * leases stay with the nodes that hold them, so that a node that joins the new epoch finds its subnet. Tokens of before
 * admit nobody, and answers of before answer nobody: both were given by another CA. Pure.
 */
import { toReplicaId } from '../../raft/core/types.ts';
import type { Member, MemberProfile } from './member.ts';
import type { ClusterState } from './state.ts';
import { type TokenGrant, tokenOf } from './token.ts';

export interface EpochStart {
  /** Above every epoch that this cluster ever had. */
  readonly epoch: number;
  /** The only member. */
  readonly profile: MemberProfile;
  /** The only token. */
  readonly token: TokenGrant;
}

export function newEpoch(
  state: ClusterState,
  { epoch, profile, token }: EpochStart,
): { readonly state: ClusterState; readonly member: Member } {
  const replicaId = state.nextReplicaId;
  const member: Member = { ...profile, replicaId, joinedAt: state.time };
  const next: ClusterState = {
    ...state,
    epoch,
    nextReplicaId: toReplicaId(replicaId + 1),
    members: new Map([[member.nodeId, member]]),
    tokens: new Map([[token.id, tokenOf(token, state.time)]]),
    answers: [],
  };
  return { state: next, member };
}

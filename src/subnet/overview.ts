/** The members and leases of a state as the documents that offline commands print. Pure. */
import type { ReplicaId } from '../../raft/core/types.ts';
import type { LeaseState } from './lease.ts';
import type { ClusterState } from './state.ts';

export interface MemberOverview {
  readonly id: string;
  readonly name: string;
  /** Where it speaks from, of either family. */
  readonly publicIp: string;
  readonly role: 'voter' | 'learner';
}

export interface LeaseOverview {
  readonly subnet: string | null;
  readonly ipv6Subnet: string | null;
  readonly nodeId: string;
  /** The beginning of the id where the holder is no member. */
  readonly nodeName: string;
  readonly publicIp: string | null;
  readonly publicIpv6: string | null;
  readonly state: LeaseState;
}

export function memberOverview(
  { members }: ClusterState,
  voters: readonly ReplicaId[],
): readonly MemberOverview[] {
  return [...members.values()].map(({ nodeId, name, address, replicaId }) => ({
    id: nodeId,
    name,
    publicIp: address,
    role: voters.includes(replicaId) ? 'voter' : 'learner',
  }));
}

export function leaseOverview({ leases, members }: ClusterState): readonly LeaseOverview[] {
  return [...leases.values()].map(({ subnet, ipv6Subnet, nodeId, attributes, state }) => ({
    subnet,
    ipv6Subnet,
    nodeId,
    nodeName: members.get(nodeId)?.name ?? nodeId.slice(0, 8),
    publicIp: attributes.publicIp,
    publicIpv6: attributes.publicIpv6,
    state,
  }));
}

/** What the data plane of one host needs of the replicated state, whole. Pure. */
import type { NetworkConfig } from '../config/network-config.ts';
import { compareIp, type Ip } from '../net/ip.ts';
import { type Lease, type LeaseSnapshot, leaseKey, type NodeId } from './lease.ts';
import { type ClusterState, ownLease } from './state.ts';

/** Peers are the leases of all other hosts, absent and draining ones too: they are still routed. */
export function view(state: ClusterState, nodeId: NodeId): LeaseSnapshot<NetworkConfig> {
  const peers = [...state.leases.values()].filter((lease) => lease.nodeId !== nodeId);
  return {
    index: state.index,
    config: state.config,
    own: ownLease(state, nodeId) ?? null,
    peers: peers.sort((a, b) => (leaseKey(a) < leaseKey(b) ? -1 : 1)),
    memberIps: memberIps(state),
  };
}

/** Where members speak from and where they want vxlan sent to; the two differ behind NAT. */
function memberIps(state: ClusterState): readonly Ip[] {
  const ips = new Set<Ip>();
  for (const member of state.members.values()) ips.add(member.address);
  for (const lease of state.leases.values()) addLease(ips, lease);
  return [...ips].sort(compareIp);
}

function addLease(ips: Set<Ip>, { attributes }: Lease): void {
  for (const ip of [attributes.publicIp, attributes.publicIpv6]) if (ip !== null) ips.add(ip);
}

/** What this host tells the cluster of itself. Pure. */
import { tunnelled } from '../backend/backend.ts';
import { vtepMac } from '../backend/vxlan.ts';
import type { SelfDescription } from '../cluster/lease-holder.ts';
import type { AgentOptions } from '../config/agent-options.ts';
import { networkFamilies } from '../config/network-config.ts';
import { ipFamily } from '../net/ip.ts';
import { controlAddress, type Selection } from '../path/interface-selection.ts';
import type { LeaseAttributes, NodeId } from '../subnet/lease.ts';
import { type ClusterState, ownLease } from '../subnet/state.ts';

/**
 * Null while the interface is not known, or an address that the network needs and that was never told. One that is gone
 * for now (a link that is down loses its IPv6 addresses) stays as it was told: nothing better is known.
 */
export function describeSelf(
  options: AgentOptions,
  nodeId: NodeId,
  selection: Selection | null,
  state: ClusterState | null,
): SelfDescription | null {
  const member = state?.members.get(nodeId);
  if (selection === null || state === null || member === undefined) return null;
  const attributes = attributesOf(nodeId, selection, state);
  // Of the family it joined with: the others may reach it by no other.
  const family = ipFamily(member.address);
  const isThere = (family === 4 ? selection.publicIp : selection.publicIpv6) !== null;
  const address = isThere ? controlAddress(selection, family) : member.address;
  return attributes && { profile: { name: options.name, address, port: options.port }, attributes };
}

function attributesOf(
  nodeId: NodeId,
  { host, publicIp, publicIpv6 }: Selection,
  state: ClusterState,
): LeaseAttributes | null {
  const { Backend: backend } = state.config;
  const known = ownLease(state, nodeId)?.attributes;
  const families = networkFamilies(state.config);
  const ipv4 = families.includes(4) ? (publicIp ?? known?.publicIp ?? null) : null;
  const ipv6 = families.includes(6) ? (publicIpv6 ?? known?.publicIpv6 ?? null) : null;
  if (families.some((family) => (family === 4 ? ipv4 : ipv6) === null)) return null;
  const device = (family: 4 | 6) =>
    tunnelled(backend) && families.includes(family)
      ? { VNI: backend.VNI, VtepMAC: vtepMac(nodeId, family) }
      : null;
  const backendV6Data = device(6);
  return {
    publicIp: ipv4,
    publicIpv6: ipv6,
    interfaceIp: ipv4 && (host.address ?? known?.interfaceIp ?? ipv4),
    linkMtu: host.mtu,
    backendType: backend.Type,
    backendData: device(4),
    ...(backendV6Data && { backendV6Data }),
  };
}

/** Members and leases of a state, as the offline commands show them to people. Pure. */
import type { LeaseOverview, MemberOverview } from '../subnet/overview.ts';
import { both, shortId, table } from './table.ts';

export function overviewText(members: readonly MemberOverview[], leases: readonly LeaseOverview[]): string {
  const memberRows = members.map(({ id, name, publicIp, role }) => [shortId(id), name, publicIp, role]);
  const leaseRows = leases.map(({ subnet, ipv6Subnet, nodeName, publicIp, publicIpv6, state }) => [
    both(subnet, ipv6Subnet),
    nodeName,
    both(publicIp, publicIpv6),
    state,
  ]);
  return [
    table(['ID', 'NAME', 'ADDRESS', 'ROLE'], memberRows),
    table(['SUBNET', 'NODE', 'ADDRESS', 'STATE'], leaseRows),
  ].join('\n\n');
}

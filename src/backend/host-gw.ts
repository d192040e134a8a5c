/** The direct path: a route whose next hop is the peer itself, on one L2. Pure. */
import type { Route } from '../dataplane/desired-state.ts';
import { MAIN_TABLE, ROUTE_METRIC } from '../dataplane/ownership.ts';
import type { HostFacts } from '../path/interface-selection.ts';
import type { LeaseSide } from '../subnet/lease.ts';

export function directRoute(host: HostFacts, { subnet, publicIp }: LeaseSide, linkMtu: number): Route {
  return {
    table: MAIN_TABLE,
    dst: subnet,
    type: 'unicast',
    via: publicIp,
    iface: host.iface,
    onlink: false,
    // None: this host is a hop, and its ICMP errors would come from there. A traceroute is to show the host's address.
    src: null,
    // Hosts with unequal jumbo frames on one L2 lose every large packet silently otherwise.
    mtu: linkMtu < host.mtu ? linkMtu : null,
    metric: ROUTE_METRIC,
  };
}

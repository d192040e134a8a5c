/** The direct path: a route whose next hop is the peer itself, on one L2. Pure. */
import type { Route } from '../dataplane/desired-state.ts';
import { MAIN_TABLE, PROBE_TABLE_DIRECT, ROUTE_METRIC } from '../dataplane/ownership.ts';
import { cidrBase, hostCidr } from '../net/cidr.ts';
import type { HostFacts } from '../path/interface-selection.ts';
import type { LeaseSide } from '../subnet/lease.ts';

/** `mtu`: what is known to get through. */
export function directRoute(host: HostFacts, { subnet, publicIp }: LeaseSide, mtu: number): Route {
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
    mtu: mtu < host.mtu ? mtu : null,
    metric: ROUTE_METRIC,
  };
}

/** For probes: to the address in the peer's subnet that its kernel answers at, whichever way packets take now. */
export function directProbeRoute(host: HostFacts, peer: LeaseSide): Route {
  const dst = hostCidr(cidrBase(peer.subnet));
  return { ...directRoute(host, peer, host.mtu), table: PROBE_TABLE_DIRECT, dst };
}

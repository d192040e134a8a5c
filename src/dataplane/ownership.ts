/**
 * What in the kernel is ours, and by which mark. A restarted agent with no memory finds its things by these marks alone
 * and sweeps what is no longer wanted; whatever lacks them belongs to somebody else and is never changed. Pure.
 */
import type { Link, LinkAddress } from '../net/link.ts';

/** Free in /etc/iproute2/rt_protos and in no routing daemon's use. */
export const ROUTE_PROTOCOL = 139;
/** The kernel's replace looks at destination and metric, not at the protocol: a metric of our own keeps it from
 *  overwriting somebody else's route. */
export const ROUTE_METRIC = 6473;
/** For the unreachable route of the whole network: anybody's route is better. */
export const LAST_RESORT_METRIC = 0xffff_ffff;
/** Addresses have no owner field that Linux 5.10 knows, but on `lo` they have a label. */
export const LOOPBACK_LABEL = 'lo:tsflannel';

const ALIAS_PREFIX = 'tsflannel:';

export function aliasOf(nodeId: string): string {
  return `${ALIAS_PREFIX}${nodeId}`;
}

/** Made by this or by an earlier identity of this host. */
export function isOurKind(link: Link): boolean {
  return link.kind === 'vxlan' && (link.alias?.startsWith(ALIAS_PREFIX) ?? false);
}

export function isOurRoute(route: { readonly protocol: number; readonly metric: number }): boolean {
  return (
    route.protocol === ROUTE_PROTOCOL &&
    (route.metric === ROUTE_METRIC || route.metric === LAST_RESORT_METRIC)
  );
}

/** On a device of ours every address is ours; on `lo` the label says so. */
export function isOurAddress(address: LinkAddress, ourDevices: ReadonlySet<string>): boolean {
  return ourDevices.has(address.iface) || (address.iface === 'lo' && address.label === LOOPBACK_LABEL);
}

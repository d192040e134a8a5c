/**
 * What in the kernel is ours, and by which mark. A restarted agent with no memory finds its things by these marks alone
 * and sweeps what is no longer wanted; whatever lacks them belongs to somebody else and is never changed. Pure.
 */
import type { Link, LinkAddress } from '../net/link.ts';
import type { Mac } from '../net/mac.ts';

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

/** Exactly this node's: what may be swept when it is no longer wanted. */
export function isOurDevice(link: Link, nodeId: string): boolean {
  return link.kind === 'vxlan' && link.alias === aliasOf(nodeId);
}

/** By this or by an earlier identity of this host. */
export function wasMadeByUs({ kind, alias }: Link): boolean {
  return kind === 'vxlan' && (alias?.startsWith(ALIAS_PREFIX) ?? false);
}

/**
 * A device we may take over where we need one of its name: one that an earlier identity of this host left, or one
 * that was made but not yet marked when we were killed. The MAC comes from the node id, so it proves as much.
 */
export function isAdoptable(link: Link, mac: Mac): boolean {
  return wasMadeByUs(link) || (link.kind === 'vxlan' && link.alias === null && link.mac === mac);
}

export function isOurRoute(route: { readonly protocol: number; readonly metric: number }): boolean {
  return (
    route.protocol === ROUTE_PROTOCOL &&
    (route.metric === ROUTE_METRIC || route.metric === LAST_RESORT_METRIC)
  );
}

/** On a device of ours every lasting address is ours; on `lo` the label says so. */
export function isOurAddress(address: LinkAddress, ourDevices: ReadonlySet<string>): boolean {
  if (address.iface === 'lo') return address.label === LOOPBACK_LABEL;
  return ourDevices.has(address.iface) && address.scope === 'global' && address.permanent;
}

/**
 * What in the kernel is ours, and by which mark. A restarted agent with no memory finds its things by these marks alone
 * and sweeps what is no longer wanted; whatever lacks them belongs to somebody else and is never changed. Pure.
 */
import { ipFamily } from '../net/ip.ts';
import type { Link, LinkAddress } from '../net/link.ts';
import type { Mac } from '../net/mac.ts';
import type { ActualRoute, ActualRule } from './kernel.ts';

/** Of routes and rules. Free in /etc/iproute2/rt_protos and in no routing daemon's use. */
export const ROUTE_PROTOCOL = 139;
/** The kernel's replace looks at destination and metric, not at the protocol: a metric of our own keeps it from
 *  overwriting somebody else's route. */
export const ROUTE_METRIC = 6473;
/** For the unreachable route of the whole network: anybody's route is better. */
export const LAST_RESORT_METRIC = 0xffff_ffff;
/** Where containers' packets are routed. */
export const MAIN_TABLE = 254;
/** Hold one path each, for the probes alone; a rule leads packets with its mark there. */
export const PROBE_TABLE_DIRECT = 6473;
export const PROBE_TABLE_VXLAN = 6474;
export const RULE_PRIORITY_DIRECT = 6473;
export const RULE_PRIORITY_VXLAN = 6474;
export const PROBE_MARK_DIRECT = 0x1000_0000;
export const PROBE_MARK_VXLAN = 0x2000_0000;
export const PROBE_MARK_MASK = 0x3000_0000;
/** Addresses have no owner field that Linux 5.10 knows. On `lo` those of IPv4 have a label, and those of IPv6, which
 *  have none, a metric. */
export const LOOPBACK_LABEL = 'lo:tsflannel';
export const LOOPBACK_METRIC = 6473;

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

/** In the main table, protocol and metric say so; the probe tables are ours, what others put there is not. */
export function isOurRoute({ table, protocol, metric }: ActualRoute): boolean {
  if (protocol !== ROUTE_PROTOCOL) return false;
  if (table === PROBE_TABLE_DIRECT || table === PROBE_TABLE_VXLAN) return true;
  return table === MAIN_TABLE && (metric === ROUTE_METRIC || metric === LAST_RESORT_METRIC);
}

export function isOurRule({ protocol, priority, table }: ActualRule): boolean {
  return (
    protocol === ROUTE_PROTOCOL &&
    ((priority === RULE_PRIORITY_DIRECT && table === PROBE_TABLE_DIRECT) ||
      (priority === RULE_PRIORITY_VXLAN && table === PROBE_TABLE_VXLAN))
  );
}

/** On a device of ours every lasting address is ours; on `lo` its mark says so. */
export function isOurAddress(address: LinkAddress, ourDevices: ReadonlySet<string>): boolean {
  if (address.iface === 'lo') return isMarked(address);
  return ourDevices.has(address.iface) && address.scope === 'global' && address.permanent;
}

/** What an address carries on an interface that is not ours. */
export function isMarked({ ip, label, metric }: LinkAddress): boolean {
  return ipFamily(ip) === 4 ? label === LOOPBACK_LABEL : metric === LOOPBACK_METRIC;
}

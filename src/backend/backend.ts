/**
 * From leases, facts of this host and chosen paths to what the kernel should hold. The one place that knows what a
 * backend type means for the kernel; pure, and complete each time it is asked.
 */
import {
  type BackendConfig,
  type HostGwBackend,
  type NetworkConfig,
  networkFamilies,
  subnetRange,
  type VxlanBackend,
} from '../config/network-config.ts';
import {
  type DesiredState,
  type FdbEntry,
  type InterfaceAddress,
  type Neighbour,
  NOTHING_DESIRED,
  type Route,
  type Rule,
  type VxlanDevice,
} from '../dataplane/desired-state.ts';
import {
  LAST_RESORT_METRIC,
  MAIN_TABLE,
  PROBE_MARK_DIRECT,
  PROBE_MARK_MASK,
  PROBE_MARK_VXLAN,
  PROBE_TABLE_DIRECT,
  PROBE_TABLE_VXLAN,
  RULE_PRIORITY_DIRECT,
  RULE_PRIORITY_VXLAN,
} from '../dataplane/ownership.ts';
import { type Cidr, cidrBase, hostCidr } from '../net/cidr.ts';
import { FAMILIES, type Family } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import type { ChosenPath, LinkMtus } from '../path/candidate.ts';
import type { HostFacts } from '../path/interface-selection.ts';
import { type LeaseSnapshot, leaseSide, subnetOf } from '../subnet/lease.ts';
import { directProbeRoute, directRoute } from './host-gw.ts';
import {
  outerMtu,
  VXLAN_OVERHEAD_BYTES,
  vxlanDevice,
  vxlanEntries,
  vxlanProbeRoute,
  vxlanRoute,
} from './vxlan.ts';

/** `paths`, by subnet, has an entry for every peer that can be reached; a peer without one gets no route. */
export function desired(
  snapshot: LeaseSnapshot<NetworkConfig>,
  host: HostFacts,
  paths: ReadonlyMap<Cidr, ChosenPath>,
): DesiredState {
  // Without a subnet there is nothing to send from; alloc wants the lease and nothing in the kernel.
  if (snapshot.own === null || snapshot.config.Backend.Type === 'alloc') return NOTHING_DESIRED;
  const states = FAMILIES.map((family) => desiredIn(family, snapshot, host, paths));
  return {
    devices: states.flatMap(({ devices }) => devices),
    addresses: states.flatMap(({ addresses }) => addresses),
    routes: states.flatMap(({ routes }) => routes),
    rules: states.flatMap(({ rules }) => rules),
    neighbours: states.flatMap(({ neighbours }) => neighbours),
    fdb: states.flatMap(({ fdb }) => fdb),
  };
}

function desiredIn(
  family: Family,
  { own, peers, config }: LeaseSnapshot<NetworkConfig>,
  host: HostFacts,
  paths: ReadonlyMap<Cidr, ChosenPath>,
): DesiredState {
  const subnet = own === null ? null : subnetOf(own, family);
  if (own === null || subnet === null) return NOTHING_DESIRED;
  const { Backend: backend } = config;
  const device = tunnelled(backend) ? vxlanDevice(backend, own.nodeId, host, family) : null;
  const src = cidrBase(subnet);
  const fdb = new Map<Mac, FdbEntry>();
  const neighbours: Neighbour[] = [];
  const routes: Route[] = [];
  for (const side of peers.flatMap((peer) => leaseSide(peer, family) ?? [])) {
    const path = paths.get(side.subnet);
    if (path === undefined) continue;
    const { kind, mtus } = path;
    if (mtus.direct !== null) {
      routes.push(directProbeRoute(host, side));
      if (kind === 'direct') routes.push(directRoute(host, side, mtus.direct));
    }
    const entries = device === null || mtus.vxlan === null ? null : vxlanEntries(device, side);
    if (device === null || mtus.vxlan === null || entries === null) continue;
    // Also while it is not used: it is probed, and then there is nothing to be made when packets have to change over.
    neighbours.push(entries.neighbour);
    // A host that moves holds two leases for a while, behind one device.
    fdb.set(entries.fdb.mac, entries.fdb);
    const used = kind === 'vxlan' ? vxlanRoute(device, side, src, mtus.vxlan) : null;
    routes.push(...[vxlanProbeRoute(device, side, src), used].filter((route) => route !== null));
  }
  const rules = probeRules(family);
  const network = subnetRange(config, family)?.network;
  // In the probe tables, too: a lookup that finds nothing there goes on to the main one, and would prove whatever is used.
  // Not everything, though: the packets around those of a tunnel carry the mark as well.
  const tables = [MAIN_TABLE, ...rules.map(({ table }) => table)];
  if (network !== undefined) routes.push(...tables.map((table) => unreachable(network, table)));
  const devices = device === null ? [] : [device];
  const addresses = [baseAddress(subnet, device)];
  return { devices, addresses, routes, rules, neighbours, fdb: [...fdb.values()] };
}

function probeRules(family: Family): readonly Rule[] {
  const rule = { family, mask: PROBE_MARK_MASK };
  return [
    { ...rule, priority: RULE_PRIORITY_DIRECT, mark: PROBE_MARK_DIRECT, table: PROBE_TABLE_DIRECT },
    { ...rule, priority: RULE_PRIORITY_VXLAN, mark: PROBE_MARK_VXLAN, table: PROBE_TABLE_VXLAN },
  ];
}

/**
 * FLANNEL_MTU: what containers get, one for both families. With host-gw they keep the link's, and routes carry what is
 * less.
 */
export function containerMtu(config: NetworkConfig, linkMtu: number): number {
  const { Backend: backend } = config;
  if (backend.Type !== 'vxlan') return linkMtu;
  const overheads = networkFamilies(config).map((family) => VXLAN_OVERHEAD_BYTES[family]);
  return outerMtu(backend, linkMtu) - Math.max(...overheads);
}

/** What the links of both ends let through, on either way. */
export function linkMtus(backend: BackendConfig, ownMtu: number, peerMtu: number, family: Family): LinkMtus {
  const outer = tunnelled(backend) ? outerMtu(backend, ownMtu) : ownMtu;
  return {
    direct: Math.min(ownMtu, peerMtu),
    vxlan: Math.min(outer, peerMtu) - VXLAN_OVERHEAD_BYTES[family],
  };
}

/** True where this backend has a vxlan device: what a lease publishes as backendData then. */
export function tunnelled(backend: BackendConfig): backend is HostGwBackend | VxlanBackend {
  return backend.Type === 'vxlan' || (backend.Type === 'host-gw' && backend.Fallback === 'vxlan');
}

/** What the host itself speaks to remote containers from, and what answers for it. */
function baseAddress(own: Cidr, device: VxlanDevice | null): InterfaceAddress {
  return { iface: device?.name ?? 'lo', address: hostCidr(cidrBase(own)) };
}

/** Packets for subnets that nobody holds must not leave by the default gateway. */
function unreachable(dst: Cidr, table: number): Route {
  return {
    table,
    dst,
    type: 'unreachable',
    via: null,
    iface: null,
    onlink: false,
    src: null,
    mtu: null,
    metric: LAST_RESORT_METRIC,
  };
}

/**
 * From leases, facts of this host and chosen paths to what the kernel should hold. The one place that knows what a
 * backend type means for the kernel; pure, and complete each time it is asked.
 */
import type { BackendConfig, HostGwBackend, NetworkConfig, VxlanBackend } from '../config/network-config.ts';
import {
  type DesiredState,
  type InterfaceAddress,
  NOTHING_DESIRED,
  type Route,
  type VxlanDevice,
} from '../dataplane/desired-state.ts';
import { LAST_RESORT_METRIC, MAIN_TABLE } from '../dataplane/ownership.ts';
import { type Cidr, cidrBase, hostCidr } from '../net/cidr.ts';
import type { HostFacts } from '../path/interface-selection.ts';
import type { ChosenPath } from '../path/selection.ts';
import { type LeaseSnapshot, leaseSide, type NodeId } from '../subnet/lease.ts';
import { directRoute } from './host-gw.ts';
import { outerMtu, VXLAN_OVERHEAD_BYTES, vxlanDevice, vxlanPeer } from './vxlan.ts';

/** `paths` has an entry for every peer that can be reached; a peer without one gets no route. */
export function desired(
  snapshot: LeaseSnapshot<NetworkConfig>,
  host: HostFacts,
  paths: ReadonlyMap<NodeId, ChosenPath>,
): DesiredState {
  const { own, peers, config } = snapshot;
  const { Backend: backend } = config;
  // Without a subnet there is nothing to send from; alloc wants the lease and nothing in the kernel.
  if (own === null || own.subnet === null || backend.Type === 'alloc') return NOTHING_DESIRED;
  const device = tunnelled(backend) ? vxlanDevice(backend, own.nodeId, host) : null;
  const src = cidrBase(own.subnet);
  const state = {
    devices: device === null ? [] : [device],
    addresses: [baseAddress(own.subnet, device)],
    routes: [] as Route[],
    rules: [],
    neighbours: [] as DesiredState['neighbours'][number][],
    fdb: new Map<string, DesiredState['fdb'][number]>(),
  };
  for (const peer of peers) {
    const path = paths.get(peer.nodeId);
    const side = leaseSide(peer, 4);
    if (side === null) continue;
    const { linkMtu } = peer.attributes;
    if (path?.kind === 'direct') state.routes.push(directRoute(host, side, linkMtu));
    if (path?.kind !== 'vxlan' || device === null) continue;
    const tunnel = vxlanPeer(device, side, linkMtu, src);
    state.routes.push(...tunnel.routes);
    state.neighbours.push(...tunnel.neighbours);
    // A host that moves holds two leases for a while, behind one device.
    for (const entry of tunnel.fdb) state.fdb.set(entry.mac, entry);
  }
  if (config.Network !== undefined) state.routes.push(lastResort(config.Network));
  return { ...state, fdb: [...state.fdb.values()] };
}

/** FLANNEL_MTU: what containers get. With host-gw they keep the link's, and routes carry what is less. */
export function containerMtu(backend: BackendConfig, linkMtu: number): number {
  return backend.Type === 'vxlan' ? outerMtu(backend, linkMtu) - VXLAN_OVERHEAD_BYTES : linkMtu;
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
function lastResort(network: Cidr): Route {
  return {
    table: MAIN_TABLE,
    dst: network,
    type: 'unreachable',
    via: null,
    iface: null,
    onlink: false,
    src: null,
    mtu: null,
    metric: LAST_RESORT_METRIC,
  };
}

/**
 * The vxlan device and what a peer behind it needs: a neighbour that stands for the peer's device, an FDB entry for its
 * MAC, and a route. Used by the vxlan backend and by host-gw as its fallback. Pure.
 */
import type { HostGwBackend, VxlanBackend } from '../config/network-config.ts';
import type { DesiredState, Route, VxlanDevice } from '../dataplane/desired-state.ts';
import { MAIN_TABLE, ROUTE_METRIC } from '../dataplane/ownership.ts';
import { cidrBase, cidrFamily } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { linkLocalOf, localMac, MAC_BYTES, type Mac } from '../net/mac.ts';
import type { HostFacts } from '../path/interface-selection.ts';
import type { LeaseSide, NodeId } from '../subnet/lease.ts';

/** Outer IPv4 20, UDP 8, vxlan 8, inner Ethernet 14. */
export const VXLAN_OVERHEAD_BYTES = 50;

/** flannel's: one device a family. */
export function vxlanDeviceName(vni: number, family: Family = 4): string {
  return family === 4 ? `flannel.${vni}` : `flannel-v6.${vni}`;
}

/** The same for a node for life, so that a device made again, or a host reinstalled from its identity, keeps it. */
export function vtepMac(nodeId: NodeId, family: Family = 4): Mac {
  const bytes = Buffer.from(nodeId, 'hex');
  return localMac(family === 4 ? bytes : bytes.subarray(MAC_BYTES));
}

/** What the outer packets may be long. */
export function outerMtu(backend: HostGwBackend | VxlanBackend, linkMtu: number): number {
  return backend.MTU === 0 ? linkMtu : backend.MTU;
}

/** No lower device: it survives the NIC. Null without an address to send from. */
export function vxlanDevice(
  backend: HostGwBackend | VxlanBackend,
  nodeId: NodeId,
  host: HostFacts,
): VxlanDevice | null {
  if (host.address === null) return null;
  return {
    name: vxlanDeviceName(backend.VNI),
    vni: backend.VNI,
    port: backend.Port,
    local: host.address,
    mac: vtepMac(nodeId),
    mtu: outerMtu(backend, host.mtu) - VXLAN_OVERHEAD_BYTES,
    learning: backend.Type === 'vxlan' && backend.Learning,
    gbp: backend.Type === 'vxlan' && backend.GBP,
  };
}

/** Empty for a peer that publishes no device. */
export function vxlanPeer(
  device: VxlanDevice,
  { subnet, publicIp, vxlan }: LeaseSide,
  linkMtu: number,
  src: Ip,
): Pick<DesiredState, 'routes' | 'neighbours' | 'fdb'> {
  if (vxlan === null) return { routes: [], neighbours: [], fdb: [] };
  const inet6 = cidrFamily(subnet) === 6;
  // IPv6 refuses a gateway that the route in use now leads elsewhere, and so a change from the direct path to this one.
  const via = inet6 ? linkLocalOf(vxlan.VtepMAC) : cidrBase(subnet);
  const mtu = Math.min(device.mtu, linkMtu - VXLAN_OVERHEAD_BYTES);
  const route: Route = {
    table: MAIN_TABLE,
    dst: subnet,
    type: 'unicast',
    via,
    iface: device.name,
    onlink: !inet6,
    src,
    mtu: mtu < device.mtu ? mtu : null,
    metric: ROUTE_METRIC,
  };
  return {
    routes: [route],
    neighbours: [{ iface: device.name, ip: via, mac: vxlan.VtepMAC }],
    fdb: [{ iface: device.name, mac: vxlan.VtepMAC, dst: publicIp }],
  };
}

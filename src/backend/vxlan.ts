/**
 * The vxlan device and what a peer behind it needs: a neighbour that stands for the peer's device, an FDB entry for its
 * MAC, and a route. Used by the vxlan backend and by host-gw as its fallback. Pure.
 */
import type { HostGwBackend, VxlanBackend } from '../config/network-config.ts';
import type { FdbEntry, Neighbour, Route, VxlanDevice } from '../dataplane/desired-state.ts';
import { MAIN_TABLE, PROBE_TABLE_VXLAN, ROUTE_METRIC } from '../dataplane/ownership.ts';
import { cidrBase, hostCidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { linkLocalOf, localMac, MAC_BYTES, type Mac } from '../net/mac.ts';
import { type HostFacts, hostAddress } from '../path/interface-selection.ts';
import type { LeaseSide, NodeId } from '../subnet/lease.ts';

/** The outer IP header, UDP 8, vxlan 8, inner Ethernet 14. */
export const VXLAN_OVERHEAD_BYTES: Readonly<Record<Family, number>> = { 4: 50, 6: 70 };

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
  family: Family,
): VxlanDevice | null {
  const local = hostAddress(host, family);
  if (local === null) return null;
  return {
    name: vxlanDeviceName(backend.VNI, family),
    vni: backend.VNI,
    port: backend.Port,
    local,
    mac: vtepMac(nodeId, family),
    mtu: outerMtu(backend, host.mtu) - VXLAN_OVERHEAD_BYTES[family],
    learning: backend.Type === 'vxlan' && backend.Learning,
    gbp: backend.Type === 'vxlan' && backend.GBP,
  };
}

/** `mtu`: what is known to get through. Null for a peer that publishes no device. */
export function vxlanRoute(device: VxlanDevice, peer: LeaseSide, src: Ip, mtu: number): Route | null {
  const via = nextHop(peer);
  return (
    via && {
      table: MAIN_TABLE,
      dst: peer.subnet,
      type: 'unicast',
      via,
      iface: device.name,
      onlink: peer.family === 4,
      src,
      mtu: mtu < device.mtu ? mtu : null,
      metric: ROUTE_METRIC,
    }
  );
}

/** For probes: to the address in the peer's subnet that its kernel answers at, whichever way packets take now. */
export function vxlanProbeRoute(device: VxlanDevice, peer: LeaseSide, src: Ip): Route | null {
  const route = vxlanRoute(device, peer, src, device.mtu);
  return route && { ...route, table: PROBE_TABLE_VXLAN, dst: hostCidr(cidrBase(peer.subnet)) };
}

/** What the device has to know of a peer before a packet can take this way; null for one that publishes no device. */
export function vxlanEntries(
  device: VxlanDevice,
  peer: LeaseSide,
): { readonly neighbour: Neighbour; readonly fdb: FdbEntry } | null {
  const ip = nextHop(peer);
  if (peer.vxlan === null || ip === null) return null;
  const { VtepMAC: mac } = peer.vxlan;
  return { neighbour: { iface: device.name, ip, mac }, fdb: { iface: device.name, mac, dst: peer.publicIp } };
}

/** IPv6 refuses a gateway that the route in use now leads elsewhere, and so a change from the direct path to this one. */
function nextHop({ family, subnet, vxlan }: LeaseSide): Ip | null {
  if (vxlan === null) return null;
  return family === 6 ? linkLocalOf(vxlan.VtepMAC) : cidrBase(subnet);
}

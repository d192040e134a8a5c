/**
 * Desired states of a dual stack host with everything that the data plane can hold: a device for each family, peers on
 * direct and tunnelled paths, and the probes' tables and rules. The host has 10.99.1.11 and fd00:99:1::11 on `eth0`.
 */
import type {
  DesiredState,
  InterfaceAddress,
  Route,
  VxlanDevice,
} from '../../src/dataplane/desired-state.ts';
import {
  LAST_RESORT_METRIC,
  MAIN_TABLE,
  PROBE_MARK_DIRECT,
  PROBE_MARK_MASK,
  PROBE_MARK_VXLAN,
  PROBE_TABLE_DIRECT,
  PROBE_TABLE_VXLAN,
  ROUTE_METRIC,
  RULE_PRIORITY_DIRECT,
  RULE_PRIORITY_VXLAN,
} from '../../src/dataplane/ownership.ts';
import { type Cidr, cidrBase, hostCidr, toCidr } from '../../src/net/cidr.ts';
import { type Family, type Ip, toIp } from '../../src/net/ip.ts';
import { linkLocalOf, localMac, type Mac } from '../../src/net/mac.ts';

export const NODE_ID = '0123456789abcdef0123456789abcdef';
export const FAMILIES: readonly Family[] = [4, 6];

export interface Wish {
  /** By number of the peer. */
  readonly peers: Readonly<Record<number, 'direct' | 'vxlan'>>;
  /** Last number of the host's own address. */
  readonly self?: number;
  /** Number of the own subnet. */
  readonly own?: number;
  readonly port?: number;
  /** Last number of the peers' addresses is this much more than theirs. */
  readonly offset?: number;
  readonly tunnels?: boolean;
}

export function dualStack(wish: Wish): DesiredState {
  const parts = FAMILIES.map((family) => oneFamily(family, wish));
  return {
    devices: parts.flatMap(({ devices }) => devices),
    addresses: parts.flatMap(({ addresses }) => addresses),
    routes: parts.flatMap(({ routes }) => routes),
    rules: parts.flatMap(({ rules }) => rules),
    neighbours: parts.flatMap(({ neighbours }) => neighbours),
    fdb: parts.flatMap(({ fdb }) => fdb),
  };
}

export function deviceName(family: Family): string {
  return family === 4 ? 'flannel.1' : 'flannel-v6.1';
}

export function subnetOf(family: Family, peer: number): Cidr {
  return toCidr(family === 4 ? `10.5.${peer}.0/24` : `fd00:5:${peer}::/64`);
}

export function addressOf(family: Family, number: number): Ip {
  return toIp(family === 4 ? `10.99.1.${number}` : `fd00:99:1::${number}`);
}

function oneFamily(
  family: Family,
  { peers, self = 11, own = 1, port = 8472, offset = 10, tunnels = true }: Wish,
): DesiredState {
  const name = deviceName(family);
  const device: VxlanDevice = {
    ...{ name, vni: 1, port, local: addressOf(family, self), mtu: 1430, learning: false, gbp: false },
    mac: localMac(Buffer.from(NODE_ID, 'hex')),
  };
  const src = cidrBase(subnetOf(family, own));
  const base: InterfaceAddress = { iface: tunnels ? name : 'lo', address: hostCidr(src) };
  const numbers = Object.keys(peers).map(Number);
  const tunnelled = numbers.filter((peer) => tunnels && peers[peer] === 'vxlan');
  const direct = numbers.filter((peer) => peers[peer] === 'direct');
  const toTunnel = (table: number, dst: Cidr, peer: number): Route => {
    const via = gatewayOf(family, peer);
    return {
      ...{ table, dst, type: 'unicast', via, iface: name, onlink: family === 4 },
      ...{ src, mtu: null, metric: ROUTE_METRIC },
    };
  };
  const toPeer = (table: number, dst: Cidr, peer: number): Route => ({
    ...{ table, dst, type: 'unicast', via: addressOf(family, peer + offset), iface: 'eth0' },
    ...{ onlink: false, src: null, mtu: peer % 2 === 0 ? null : 1400, metric: ROUTE_METRIC },
  });
  const nowhere = (table: number, dst: Cidr, metric: number): Route => ({
    ...{ table, dst, type: 'unreachable', via: null, iface: null },
    ...{ onlink: false, src: null, mtu: null, metric },
  });
  const everywhere = toCidr(family === 4 ? '0.0.0.0/0' : '::/0');
  const network = toCidr(family === 4 ? '10.5.0.0/16' : 'fd00:5::/32');
  const host = (peer: number): Cidr => hostCidr(cidrBase(subnetOf(family, peer)));
  return {
    devices: tunnels ? [device] : [],
    addresses: [base],
    routes: [
      ...direct.map((peer) => toPeer(MAIN_TABLE, subnetOf(family, peer), peer)),
      ...tunnelled.map((peer) => toTunnel(MAIN_TABLE, subnetOf(family, peer), peer)),
      nowhere(MAIN_TABLE, network, LAST_RESORT_METRIC),
      ...direct.slice(0, 1).map((peer) => toPeer(PROBE_TABLE_DIRECT, host(peer), peer)),
      ...tunnelled.slice(0, 1).map((peer) => toTunnel(PROBE_TABLE_VXLAN, host(peer), peer)),
      nowhere(PROBE_TABLE_DIRECT, everywhere, ROUTE_METRIC),
      nowhere(PROBE_TABLE_VXLAN, everywhere, ROUTE_METRIC),
    ],
    rules: [
      {
        ...{ family, priority: RULE_PRIORITY_DIRECT, mark: PROBE_MARK_DIRECT },
        ...{ mask: PROBE_MARK_MASK, table: PROBE_TABLE_DIRECT },
      },
      {
        ...{ family, priority: RULE_PRIORITY_VXLAN, mark: PROBE_MARK_VXLAN },
        ...{ mask: PROBE_MARK_MASK, table: PROBE_TABLE_VXLAN },
      },
    ],
    neighbours: tunnelled.map((peer) => ({ iface: name, ip: gatewayOf(family, peer), mac: macOf(peer) })),
    fdb: tunnelled.map((peer) => ({
      ...{ iface: name, mac: macOf(peer), dst: addressOf(family, peer + offset) },
    })),
  };
}

function macOf(peer: number): Mac {
  return localMac(Uint8Array.of(2, 0, 0, 0, 0, peer));
}

function gatewayOf(family: Family, peer: number): Ip {
  return family === 4 ? cidrBase(subnetOf(family, peer)) : linkLocalOf(macOf(peer));
}

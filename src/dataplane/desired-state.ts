/**
 * What the kernel should hold for us, whole. Backends compute it; delta and plan compare it with what is there. Plain
 * data with canonical text values, so that two equal things are equal by key.
 */
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';

/** `flannel.<VNI>`, or `flannel-v6.<VNI>` where `local` is IPv6. Without a lower device: it survives the NIC, and
 *  `local` can be changed in place. */
export interface VxlanDevice {
  readonly name: string;
  readonly vni: number;
  readonly port: number;
  readonly local: Ip;
  readonly mac: Mac;
  readonly mtu: number;
  readonly learning: boolean;
  readonly gbp: boolean;
}

export interface InterfaceAddress {
  readonly iface: string;
  /** Address with prefix length; host bits count, so this is text `10.5.42.0/32` of one address. */
  readonly address: Cidr;
}

export interface Route {
  readonly table: number;
  readonly dst: Cidr;
  readonly type: 'unicast' | 'unreachable';
  /** Null for `unreachable`. */
  readonly via: Ip | null;
  readonly iface: string | null;
  readonly onlink: boolean;
  /** Preferred source: own subnet base. */
  readonly src: Ip | null;
  /** RTAX_MTU; null leaves it to the device. */
  readonly mtu: number | null;
  readonly metric: number;
}

/** Packets with this mark are looked up in a table of our own. */
export interface Rule {
  readonly family: Family;
  readonly priority: number;
  readonly mark: number;
  readonly mask: number;
  readonly table: number;
}

export interface Neighbour {
  readonly iface: string;
  readonly ip: Ip;
  readonly mac: Mac;
}

export interface FdbEntry {
  readonly iface: string;
  readonly mac: Mac;
  readonly dst: Ip;
}

export interface DesiredState {
  readonly devices: readonly VxlanDevice[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
  readonly rules: readonly Rule[];
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly FdbEntry[];
}

export const NOTHING_DESIRED: DesiredState = {
  ...{ devices: [], addresses: [], routes: [], rules: [], neighbours: [], fdb: [] },
};

/** What the kernel says of an interface, of an address on one, and of the way to an address. Plain data. */
import type { Ip } from './ip.ts';
import type { Mac } from './mac.ts';

export interface VxlanParameters {
  readonly vni: number;
  readonly port: number;
  readonly local: Ip | null;
  readonly learning: boolean;
  readonly gbp: boolean;
  /** No lower device, no group or default remote, no external control: what we make has none of these. */
  readonly plain: boolean;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `vxlan`, `bridge`, `veth`; null for a NIC. */
  readonly kind: string | null;
  /** IFALIAS: free text that stays with the interface. */
  readonly alias: string | null;
  /** Null where the interface has none, or none of Ethernet's length. */
  readonly mac: Mac | null;
  readonly mtu: number;
  readonly up: boolean;
  readonly loopback: boolean;
  readonly vxlan: VxlanParameters | null;
}

export interface LinkAddress {
  readonly iface: string;
  readonly ip: Ip;
  readonly prefixLength: number;
  /** IPv4 only; the interface's name unless somebody chose another. */
  readonly label: string | null;
  /** Of the route that the kernel makes for it; 0 where nobody chose one. */
  readonly metric: number;
  readonly scope: 'global' | 'link' | 'host';
  readonly permanent: boolean;
  readonly deprecated: boolean;
  /** An IPv6 address that is given up again by itself; an IPv4 address that is not the first of its network. */
  readonly temporary: boolean;
  /** Not to be used: it is not known yet that no other host has it, or one has. */
  readonly tentative: boolean;
}

/** The answer to "which way to this address": `ip route get`. */
export interface RouteAnswer {
  /** `local`: the address is this host's own. `other`: unreachable, blackhole and their like. */
  readonly type: 'unicast' | 'local' | 'broadcast' | 'multicast' | 'other';
  readonly iface: string | null;
  /** Null: on-link. */
  readonly gateway: Ip | null;
  readonly src: Ip | null;
}

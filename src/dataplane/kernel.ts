/**
 * What the data plane needs of a kernel: read everything of ours at once, apply operations, tell of changes. A host may
 * have half a million routes of others; what reads them says so, and nothing that runs again and again does.
 * `netlink` implements it for the real kernel, the tests for one in memory; a contract suite runs on both.
 */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { Link, LinkAddress, RouteAnswer } from '../net/link.ts';
import type { Mac } from '../net/mac.ts';
import type { FdbEntry, InterfaceAddress, Neighbour, Route, Rule, VxlanDevice } from './desired-state.ts';

/** A route as it is in the kernel. */
export interface ActualRoute extends Omit<Route, 'type'> {
  readonly type: Route['type'] | 'other';
  readonly protocol: number;
  /** Carries nothing that our routes never have, such as several next hops or further metrics. */
  readonly plain: boolean;
}

/** A rule of our protocol. */
export interface ActualRule extends Rule {
  readonly protocol: number;
  /** Asks for the mark alone, and goes to a table. */
  readonly plain: boolean;
}

/** A permanent FDB entry of a vxlan device; `dst` is null where it says more than an address. */
export interface ActualFdbEntry extends Omit<FdbEntry, 'dst'> {
  readonly dst: Ip | null;
}

/** A broadcast route to one address in the local table: kernels before 5.14 make one for the base of each subnet. */
export interface Broadcast {
  readonly ip: Ip;
  readonly iface: string;
}

export interface ActualState {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  /** Those of our protocol, in all tables. */
  readonly routes: readonly ActualRoute[];
  readonly rules: readonly ActualRule[];
  readonly broadcasts: readonly Broadcast[];
  /** Permanent entries of vxlan devices. */
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly ActualFdbEntry[];
}

/** One change. `set` and `replace` take one step; nothing is ever deleted in order to be added again. */
export type Op =
  | { readonly kind: 'device-create'; readonly device: VxlanDevice; readonly alias: string }
  /** Brings what can be changed in place (local, MTU, learning, alias, up) to what `device` says. Setting a MAC, even
   *  to what it is, makes the kernel forget the neighbours on the device, so that is asked for apart. */
  | {
      readonly kind: 'device-change';
      readonly device: VxlanDevice;
      readonly alias: string;
      readonly setMac: boolean;
    }
  | { readonly kind: 'device-delete'; readonly name: string }
  /** `marked`: so that it is known as ours on an interface that is not. */
  | { readonly kind: 'address-add'; readonly address: InterfaceAddress; readonly marked: boolean }
  | { readonly kind: 'address-delete'; readonly address: LinkAddress }
  | { readonly kind: 'neighbour-set'; readonly neighbour: Neighbour }
  | { readonly kind: 'neighbour-delete'; readonly neighbour: Neighbour }
  | { readonly kind: 'fdb-set'; readonly entry: FdbEntry }
  | { readonly kind: 'fdb-delete'; readonly entry: ActualFdbEntry }
  /** Fails with EEXIST where a route to the same destination with the same metric is there, whoever made it. */
  | { readonly kind: 'route-add'; readonly route: Route }
  /** In the place of one of ours. */
  | { readonly kind: 'route-replace'; readonly route: Route }
  | { readonly kind: 'route-delete'; readonly route: ActualRoute }
  | { readonly kind: 'rule-add'; readonly rule: Rule }
  | { readonly kind: 'rule-delete'; readonly rule: ActualRule }
  | { readonly kind: 'broadcast-delete'; readonly broadcast: Broadcast };

export interface OpFailure {
  readonly op: Op;
  /** An errno's name. */
  readonly code: string;
  /** The kernel's own words where it has some. */
  readonly text: string;
}

/** Something changed that this process did not do itself, as far as the kernel tells them apart. An interface without a
 *  name may be any. */
export type KernelEvent =
  | { readonly kind: 'link'; readonly iface: string | null; readonly vxlan: boolean }
  | { readonly kind: 'address'; readonly iface: string | null }
  | { readonly kind: 'route'; readonly table: number; readonly protocol: number; readonly dst: Cidr }
  /** ARP, NDP and FDB entries. */
  | { readonly kind: 'neighbour'; readonly iface: string | null }
  | { readonly kind: 'rule'; readonly protocol: number }
  /** Events were lost; anything may have changed. */
  | { readonly kind: 'overflow' };

/** The kernel could not be asked, or gave no usable answer. */
export class KernelError extends Error {
  override readonly name: string = 'KernelError';
  /** An errno's name, or what is wrong with the answer. */
  readonly code: string;
  /** What was being done, such as `list routes`. */
  readonly op: string;

  /** The kernel's own words where it has some. */
  readonly reason: string;

  constructor(code: string, op: string, reason: string, options?: ErrorOptions) {
    super(`${op}: ${reason} (${code})`, options);
    this.code = code;
    this.op = op;
    this.reason = reason;
  }
}

export interface Kernel {
  /** Rejects with a KernelError when the kernel cannot be read; never resolves with half of it. */
  read(): Promise<ActualState>;
  /** In order, as far as each goes: one that fails does not keep the others back. */
  apply(ops: readonly Op[]): Promise<readonly OpFailure[]>;
  /** The way a packet to `ip` would take now; null where none leads there. Rejects with a KernelError. */
  lookup(ip: Ip): Promise<RouteAnswer | null>;
  /** The routes by which packets to these addresses would go now, in this order; null where none leads there. Rejects
   *  with a KernelError. */
  match(ips: readonly Ip[]): Promise<readonly (ActualRoute | null)[]>;
  /** Who answers at which address on an interface, as far as the kernel has asked. Empty where there is no such
   *  interface. Rejects with a KernelError. */
  neighboursOn(iface: string): Promise<ReadonlyMap<Ip, Mac>>;
  /** Routes of others in the main table that overlap `network`. Walks the whole table. Rejects with a KernelError. */
  foreignRoutes(network: Cidr): Promise<readonly ActualRoute[]>;
  /** Of the main table, both families, whoever made them. Rejects with a KernelError. */
  defaultRoutes(): Promise<readonly ActualRoute[]>;
  /** Which networks `who` cares for, in place of what it said before. Changes of others' routes need not be told that
   *  overlap none of these; default routes always are. While nobody has said anything, all are told. */
  concern(who: string, networks: readonly Cidr[]): void;
  /** Returns how to stop listening. */
  onEvent(listener: (event: KernelEvent) => void): () => void;
}

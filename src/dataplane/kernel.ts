/**
 * What the data plane needs of a kernel: read everything that matters at once, apply operations, tell of changes.
 * `netlink` implements it for the real one, the tests for one in memory; a contract suite runs on both.
 */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { Link, LinkAddress, RouteAnswer } from '../net/link.ts';
import type { FdbEntry, InterfaceAddress, Neighbour, Route, Rule, VxlanDevice } from './desired-state.ts';

/** A route of the main table, or one of our protocol in another table. */
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
  readonly routes: readonly ActualRoute[];
  readonly rules: readonly ActualRule[];
  readonly broadcasts: readonly Broadcast[];
  /** Permanent entries of vxlan devices. */
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly ActualFdbEntry[];
}

/** One change. `set` creates or replaces in one step; nothing is ever deleted in order to be added again. */
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
  | { readonly kind: 'route-set'; readonly route: Route }
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

/** Something changed that this process did not do itself, as far as the kernel tells them apart. */
export type KernelEvent =
  | { readonly kind: 'link'; readonly iface: string | null }
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
  /** Returns how to stop listening. */
  onEvent(listener: (event: KernelEvent) => void): () => void;
}

/**
 * What an agent answers to the methods of the local API, as plain data: the documents that `--json` prints. Fields and
 * values are only ever added; a field that is added later is optional here, so that a new command line can still talk
 * to an agent that was not restarted yet. What is not known is null.
 */
import type { NodeRef } from '../observe/agent-facts.ts';

/** Read from local state, without a quorum. */
export interface LocalRead<T> {
  readonly data: T;
  /** Milliseconds since this host last knew its state to be the leader's; 0 while it is current. */
  readonly staleMs: number;
}

export type MemberRole = 'voter' | 'learner';

export interface Member extends NodeRef {
  readonly publicIp: string | null;
  readonly publicIpv6?: string | null;
  readonly role: MemberRole;
  readonly leader: boolean;
  readonly lastContactMs: number | null;
  readonly matchIndex: number | null;
}

export interface LeaseEntry {
  readonly subnet: string | null;
  readonly ipv6Subnet: string | null;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly publicIp: string | null;
  readonly publicIpv6?: string | null;
  readonly backendType: string;
  readonly backendData: object | null;
  readonly backendV6Data?: object | null;
  readonly expiresAt: string | null;
  readonly reserved: boolean;
  readonly state: 'active' | 'absent' | 'draining';
}

export interface RouteEntry {
  readonly dst: string;
  readonly via: string | null;
  readonly dev: string | null;
  readonly state: 'installed' | 'missing' | 'foreign' | 'stale';
  /** Who made the route that is there: `tsflannel`, else the protocol's name. */
  readonly owner: string | null;
  /** Name of the peer behind it. */
  readonly peer: string | null;
}

export interface ConfigRevision {
  readonly revision: number;
  /** The normalised network configuration in flannel's own key names. */
  readonly config: object;
}

export interface TokenEntry {
  readonly id: string;
  readonly role: MemberRole;
  readonly expiresAt: string;
  /** Null is unlimited. */
  readonly usesLeft: number | null;
}

export interface CreatedToken extends TokenEntry {
  /** The one time that the secret is shown. */
  readonly token: string;
  readonly joinCommand: string;
}

/** The replicated state, and where this host's replica stood. */
export interface SavedState {
  readonly nodeId: string;
  readonly term: number;
  readonly voters: readonly number[];
  /** The document that the state machine's own snapshots hold. */
  readonly state: object;
}

export interface RoleChange {
  readonly node: NodeRef;
  /** Now. */
  readonly role: MemberRole;
  /** What has to happen first, as a sentence; null where nothing has. */
  readonly pending: string | null;
}

export interface RemovedMember {
  readonly node: NodeRef;
  /** The lease that it held. */
  readonly subnet: string | null;
  /** Given back; else it stays, absent. */
  readonly released: boolean;
}

export interface NewLeader {
  readonly leader: NodeRef;
}

export interface Left {
  readonly node: NodeRef;
  /** The lease that was given back. */
  readonly subnet: string | null;
}

export interface VersionAnswer {
  readonly version: string;
  readonly pid: number;
}

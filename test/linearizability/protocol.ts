/** What the harness and a member say to each other: one JSON document a line, over the member's stdin and stdout. */
import type { KeyValueOp, KeyValueResult } from '../../raft/sim/key-value-model.ts';
import type { TestNode } from '../support/certificates.ts';

/** The members' deliberate mistakes, so that the harness can show what it catches. */
export type Mistake =
  /** Reads are answered from what is here, by whoever is asked. */
  | 'stale-reads'
  /** Writes are answered when they are proposed, not when they are applied. */
  | 'early-answers';

export interface MemberConfig {
  readonly id: number;
  readonly directory: string;
  readonly tls: TestNode;
  /** Everybody who may ever be a member. */
  readonly peers: readonly PeerConfig[];
  /** What the log of the first members begins with. Empty for one that joins. */
  readonly voters: readonly number[];
  readonly mistake: Mistake | null;
}

export interface PeerConfig {
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly publicKey: string;
}

export type Request =
  | { readonly kind: 'operate'; readonly op: KeyValueOp }
  | { readonly kind: 'state' }
  /** Only where the members are `from`: who is asked late must not bring back somebody who is gone. */
  | { readonly kind: 'configure'; readonly from: Membership; readonly to: Membership }
  | { readonly kind: 'transfer'; readonly target: number };

export interface Membership {
  readonly voters: readonly number[];
  readonly learners: readonly number[];
}

export interface Numbered<T> {
  readonly number: number;
  readonly body: T;
}

/** To `operate`. `refused` had no effect and never will have; of `lost` nobody knows. */
export type Answer =
  | { readonly kind: 'done'; readonly result: KeyValueResult }
  | { readonly kind: 'refused'; readonly leader: number | null }
  | { readonly kind: 'lost' };

export interface MemberState {
  readonly role: string;
  readonly term: number;
  readonly leader: number | null;
  readonly applied: number;
  readonly last: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  /** No membership change is half done. */
  readonly isSettled: boolean;
  readonly digest: string;
}

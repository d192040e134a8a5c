/** What the Raft bench asks of its processes, and what both sides must agree on. */
import type { Role } from '../../raft/index.ts';
import type { TestNode } from '../support/certificates.ts';
import type { LoadFigures, LoadOptions } from './load.ts';
import type { Traffic } from './traffic.ts';

export const ENTRY_BYTES = 256;

/** Where one of the processes listens, TCP and UDP, on 127.0.0.1. */
export interface Address {
  readonly replica: number;
  readonly port: number;
}

export interface MemberConfig {
  readonly replica: number;
  readonly directory: string;
  readonly tls: TestNode;
  readonly members: readonly (Address & { readonly publicKey: string })[];
  /** `again`: what lies in `directory` is taken up. */
  readonly begin: 'first' | 'joining' | 'again';
}

export interface MemberState {
  readonly role: Role;
  readonly leader: number | null;
  readonly applied: number;
}

export type MemberCalls = {
  readonly start: (config: MemberConfig) => Promise<void>;
  /** Waits until it leads. */
  readonly setVoters: (voters: readonly number[]) => Promise<void>;
  readonly state: (parameter: null) => MemberState;
  /** Waits until the entry is applied here. */
  readonly applied: (index: number) => Promise<void>;
  readonly commits: (options: LoadOptions) => Promise<LoadFigures>;
  /** Linearizable reads on the leader. */
  readonly reads: (options: LoadOptions) => Promise<LoadFigures>;
  /** Proposes until one entry is applied here; when that was, by `machineMs`. */
  readonly firstCommit: (parameter: null) => Promise<number>;
  /** Ends `firstCommit`. */
  readonly giveUp: (parameter: null) => void;
  readonly traffic: (parameter: null) => Traffic;
  readonly stop: (parameter: null) => Promise<void>;
};

export interface CeilingConfig {
  readonly replica: number;
  readonly directory: string;
  readonly members: readonly Address[];
}

export type CeilingCalls = {
  readonly start: (config: CeilingConfig) => Promise<void>;
  readonly commits: (options: LoadOptions) => Promise<LoadFigures>;
  readonly stop: (parameter: null) => Promise<void>;
};

/** Milliseconds of the machine's monotonic clock, which is the same in every process. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

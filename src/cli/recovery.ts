/**
 * What the command line needs of the daemon to begin a cluster anew, injected by main so that nothing here imports
 * src/daemon. Everything is offline: an agent that runs on the directories makes it refuse (exit 7). Expected refusals
 * are thrown as TsflannelError and leave the old state as it was.
 */
import type { NodeRef } from '../observe/agent-facts.ts';
import type { LeaseOverview, MemberOverview } from '../subnet/overview.ts';
import type { SnapshotFile } from '../subnet/snapshot-file.ts';
import type { Directories, StartOptions } from './launcher.ts';

export interface RecoverOptions extends Directories {
  /** Drop what is not known to be committed; it may have been acknowledged by the lost hosts. */
  readonly discardUncommitted: boolean;
}

/** Hosts are compared by last term, then by last index. */
export interface Survey {
  readonly clusterId: string;
  readonly epoch: number;
  readonly node: NodeRef;
  readonly role: 'voter' | 'learner';
  readonly term: number;
  readonly lastTerm: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
  /** The log index that the new epoch would begin at, and what of the log that means. */
  readonly keptIndex: number;
  readonly keptUncommitted: number;
  readonly dropped: number;
  readonly members: readonly MemberOverview[];
  readonly leases: readonly LeaseOverview[];
}

export interface NewEpoch {
  readonly clusterId: string;
  readonly epoch: number;
  readonly node: NodeRef;
  readonly token: string;
  readonly joinCommand: string;
}

export interface RestoreOptions extends StartOptions {
  readonly snapshot: SnapshotFile;
}

export interface Recovery {
  /** Changes nothing. */
  survey(options: RecoverOptions): Promise<Survey>;
  recover(options: RecoverOptions): Promise<NewEpoch>;
  /** The cluster that this host is in; null when it is in none. */
  clusterOf(directories: Directories): Promise<string | null>;
  restore(options: RestoreOptions): Promise<NewEpoch>;
}

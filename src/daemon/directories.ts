/** Where an agent keeps what. */
import { join } from 'node:path';
import { ofEpoch } from '../cluster/epoch.ts';

export interface DataFiles {
  /** What the user gave. */
  readonly options: string;
  /** The lease snapshot that serves the data plane at a start without the database. */
  readonly leaseCache: string;
}

export function dataFiles(dataDir: string): DataFiles {
  return {
    options: join(dataDir, 'agent.json'),
    leaseCache: join(dataDir, 'dataplane.json'),
  };
}

export interface RaftFiles {
  readonly database: string;
  /** Which replica id a joiner made that database for, while its join is not finished. */
  readonly owner: string;
}

export function raftFiles(dataDir: string, epoch: number): RaftFiles {
  const database = join(dataDir, ofEpoch('raft', epoch));
  return { database, owner: `${database}.replica` };
}

/** What the firewall and the sysctls were before us. In the run directory: a reboot resets what it speaks of. */
export function foundFile(runDir: string): string {
  return join(runDir, 'found.json');
}

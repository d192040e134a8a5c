/** Where an agent keeps what. */
import { join } from 'node:path';

export interface DataFiles {
  /** The Raft database. */
  readonly raft: string;
  /** Which replica id a joiner made that database for, while its join is not finished. */
  readonly raftOwner: string;
  /** What the user gave. */
  readonly options: string;
  /** The lease snapshot that serves the data plane at a start without the database. */
  readonly leaseCache: string;
}

export function dataFiles(dataDir: string): DataFiles {
  return {
    raft: join(dataDir, 'raft'),
    raftOwner: join(dataDir, 'raft.replica'),
    options: join(dataDir, 'agent.json'),
    leaseCache: join(dataDir, 'dataplane.json'),
  };
}

/** What the firewall and the sysctls were before us. In the run directory: a reboot resets what it speaks of. */
export function foundFile(runDir: string): string {
  return join(runDir, 'found.json');
}

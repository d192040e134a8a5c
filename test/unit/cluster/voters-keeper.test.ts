/** Where the voters are is written down when it changes, and only then. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import {
  type KnownMember,
  loadClusterFile,
  type Membership,
  saveClusterFile,
} from '../../../src/cluster/cluster-file.ts';
import { VotersKeeper } from '../../../src/cluster/voters-keeper.ts';
import { createLog } from '../../../src/observe/log.ts';
import { toNodeId } from '../../../src/subnet/lease.ts';
import { cluster } from '../subnet/samples.ts';

const membership: Membership = {
  state: 'member',
  clusterId: 'c'.repeat(32),
  epoch: 1,
  replicaId: toReplicaId(1),
  caCert: 'ca',
  nodeCert: 'node',
  known: [],
  announced: true,
};
const log = createLog({ level: 'error', format: 'json', colours: false }, process.stderr);

function voter(n: number): KnownMember {
  return {
    replicaId: toReplicaId(n),
    nodeId: toNodeId(`${n}`.repeat(32)),
    endpoint: { host: `10.0.0.${n}`, port: 6473 },
  };
}

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tsflannel-'));
  await saveClusterFile(directory, membership);
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

it('follows the voters until it is closed, and never forgets them all', async () => {
  const changed: (() => void)[] = [];
  let voters: readonly KnownMember[] = [];
  const replica = {
    state: cluster(1).state,
    knownVoters: () => voters,
    onChange: (listener: () => void) => void changed.push(listener),
  };
  const known = async (): Promise<unknown> => {
    const file = await loadClusterFile(directory);
    return file?.state === 'member' ? file.known : file;
  };
  const become = (now: readonly KnownMember[]): void => {
    voters = now;
    for (const listener of changed) listener();
  };
  const keeper = new VotersKeeper(replica, directory, log);
  become([voter(1)]);
  become([voter(1), voter(2)]);
  become([]);
  await keeper.close();
  expect(await known()).toEqual([voter(1), voter(2)]);
  become([voter(3)]);
  await keeper.close();
  expect(await known()).toEqual([voter(1), voter(2)]);
});

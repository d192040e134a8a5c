/**
 * From a membership on disk to a running agent: opens the replica, or has it come back where its database cannot be
 * believed, and hands everything to the agent.
 */

import { rm } from 'node:fs/promises';
import { LevelStorage } from '../../raft/storage/level.ts';
import { StorageDamagedError } from '../../raft/storage/storage.ts';
import type { Ready, Running } from '../cli/launcher.ts';
import { loadCaKey, type Membership, removeClusterFile } from '../cluster/cluster-file.ts';
import { removeOtherEpochs } from '../cluster/epoch.ts';
import type { Identity } from '../cluster/identity.ts';
import type { Replica } from '../cluster/replica.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { type Cidr, cidrFamily } from '../net/cidr.ts';
import { FAMILIES } from '../net/ip.ts';
import { Agent } from './agent.ts';
import { Comeback } from './comeback.ts';
import { dataFiles, raftFiles } from './directories.ts';
import { leaseFacts, nodeFacts } from './facts.ts';
import { startReplica } from './replica-start.ts';
import type { Workplace } from './workplace.ts';

/** The agent of a host that is a member already. Throws TsflannelError. */
export async function startMember(
  workplace: Workplace,
  identity: Identity,
  membership: Membership,
): Promise<Agent> {
  const { dataDir } = workplace.start;
  const caKey = await loadCaKey(dataDir, membership.epoch);
  try {
    const storage = await LevelStorage.open(raftFiles(dataDir, membership.epoch).database, {
      cluster: membership.clusterId,
      replica: membership.replicaId,
    });
    const replica = await startReplica({ workplace, identity, membership, caKey, founding: null, storage });
    return await runAgent(workplace, identity, membership, replica);
  } catch (error) {
    if (!(error instanceof StorageDamagedError)) throw error;
    workplace.start.log.error('database-damaged', "The database of this host's replica cannot be used.", {
      err: error,
    });
    return await runAgent(
      workplace,
      identity,
      membership,
      new Comeback(workplace, identity, membership, error),
    );
  }
}

export async function runAgent(
  workplace: Workplace,
  identity: Identity,
  membership: Membership,
  replica: Replica | Comeback,
): Promise<Agent> {
  const { start, options, kernel, watcher, firewall, previous, lock } = workplace;
  const { dataDir, runDir, log } = start;
  // A disk that is full must not keep the data plane down: what was given now counts all the same.
  await workplace.saveOptions().catch((error: unknown) => {
    log.error('options-not-saved', 'The options of this agent cannot be stored.', { err: error });
  });
  // Of an epoch that this host has left behind: its key must not lie about. Nothing here depends on it.
  await removeOtherEpochs(dataDir, membership.epoch).catch((error: unknown) => {
    log.error('old-epoch-not-removed', 'The files of an earlier epoch cannot be removed.', { err: error });
  });
  return await Agent.start({
    dataDir,
    runDir,
    options,
    nodeId: identity.nodeId,
    membership,
    replica,
    kernel,
    watcher,
    firewall,
    previous,
    log,
    disqualified: workplace.disqualified,
    release: () => lock.release(),
    forget: () => forgetMembership(dataDir),
  });
}

/** The node key stays: the host may join again, and is then known as the same node. */
export async function forgetMembership(dataDir: string): Promise<void> {
  await removeClusterFile(dataDir);
  await rm(dataFiles(dataDir).leaseCache, { force: true });
  await removeOtherEpochs(dataDir, null);
}

/** The facts a user sees once the agent is ready. */
export function readyFacts(agent: Agent, workplace: Workplace): Ready {
  const { sources } = agent;
  const lease = leaseFacts(sources);
  const network = sources.dataPlane.snapshot?.config;
  if (lease === null || network === undefined) throw new TypeError('ready without a lease');
  return {
    clusterId: sources.membership.clusterId,
    node: nodeFacts(sources),
    lease,
    network,
    previousSubnets: firstOfEach(workplace.previous.of(network)),
    subnetFile: workplace.options.subnetFile,
  };
}

function firstOfEach(subnets: readonly Cidr[]): readonly Cidr[] {
  return FAMILIES.flatMap((family) => subnets.find((subnet) => cidrFamily(subnet) === family) ?? []);
}

export function running<R extends Ready>(agent: Agent, whenReady: () => Promise<R>): Running<R> {
  return {
    ready: agent.ready.then(whenReady),
    stopped: agent.stopped,
    stop: () => agent.stop(),
  };
}

export function notAMember(dataDir: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'not-a-member',
      EXIT.failed,
      `This host is in no cluster: ${dataDir} holds no membership.`,
      'Run "tsflannel init" for a new cluster, or "tsflannel join TOKEN ADDR" for an existing one.',
    ),
  );
}

export function inAnotherCluster(clusterId: string, dataDir: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'in-another-cluster',
      EXIT.conflict,
      `This host is a member of another cluster, ${clusterId}, by its data directory ${dataDir}.`,
      'Run "tsflannel leave" first, or give another --data-dir.',
    ),
  );
}

/**
 * Beginning a cluster anew, offline: from the database of one survivor after a lost quorum (`recover`), or from a file
 * (`snapshot restore`). Reads what there is, refuses what cannot be believed, and hands the rest to new-epoch.ts.
 */

import { toLogIndex } from '../../raft/core/types.ts';
import { replay, type Survivor, surveySurvivor } from '../../raft/runtime/recovery.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import { StorageDamagedError } from '../../raft/storage/storage.ts';
import type { Directories } from '../cli/launcher.ts';
import type { NewEpoch, RecoverOptions, Recovery, RestoreOptions, Survey } from '../cli/recovery.ts';
import { loadClusterFile, type Membership } from '../cluster/cluster-file.ts';
import { createIdentity, loadIdentity, saveIdentity } from '../cluster/identity.ts';
import { networkFamilies } from '../config/network-config.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import { ipFamily } from '../net/ip.ts';
import { controlAddress } from '../path/interface-selection.ts';
import type { Member } from '../subnet/member.ts';
import { leaseOverview, memberOverview } from '../subnet/overview.ts';
import type { ClusterState } from '../subnet/state.ts';
import { SubnetStateMachine } from '../subnet/state-machine.ts';
import { raftFiles } from './directories.ts';
import { lockDirectory } from './lock.ts';
import { inAnotherCluster, notAMember } from './member-start.ts';
import { beginEpoch } from './new-epoch.ts';
import { openWorkplace } from './workplace.ts';

export const recovery: Recovery = { survey, recover, clusterOf, restore };

interface Remains {
  readonly membership: Membership;
  readonly survivor: Survivor;
  readonly state: ClusterState;
  /** This host's own. */
  readonly member: Member;
}

async function survey(options: RecoverOptions): Promise<Survey> {
  await using _lock = await lockDirectory(options.dataDir);
  const { membership, survivor, state, member } = await readRemains(options);
  const { clusterId, epoch } = membership;
  const { term, last, commit, kept, keptUncommitted, dropped, configuration } = survivor;
  return {
    clusterId,
    epoch,
    node: { id: member.nodeId, name: member.name },
    role: configuration.voters.includes(member.replicaId) ? 'voter' : 'learner',
    term,
    lastTerm: last.term,
    lastIndex: last.index,
    commitIndex: commit,
    keptIndex: kept.index,
    keptUncommitted,
    dropped,
    members: memberOverview(state, configuration.voters),
    leases: leaseOverview(state),
  };
}

async function recover(options: RecoverOptions): Promise<NewEpoch> {
  const { dataDir } = options;
  await using _lock = await lockDirectory(dataDir);
  const { membership, survivor, state, member } = await readRemains(options);
  const { nodeId, publicKey, name, address, port, wantsVoter } = member;
  return await beginEpoch({
    dataDir,
    currentEpoch: membership.epoch,
    epoch: membership.epoch + 1,
    last: survivor.kept,
    term: survivor.term,
    state,
    profile: { nodeId, publicKey, name, address, port, wantsVoter },
  });
}

/** Throws TsflannelError: no member (1), a database that cannot be believed (1), a host that was removed (6). */
async function readRemains({ dataDir, discardUncommitted }: RecoverOptions): Promise<Remains> {
  const file = await loadClusterFile(dataDir);
  const identity = await loadIdentity(dataDir);
  if (identity === null || file?.state !== 'member') throw notAMember(dataDir);
  const survivor = await readSurvivor(dataDir, file, discardUncommitted);
  const machine = new SubnetStateMachine();
  replay(survivor, machine);
  const { state } = machine;
  if (state === null) throw new TsflannelError(nothingHere(file));
  const member = state.members.get(identity.nodeId);
  if (member === undefined) throw new TsflannelError(removed(file));
  return { membership: file, survivor, state, member };
}

async function readSurvivor(
  dataDir: string,
  { clusterId, epoch, replicaId }: Membership,
  discardUncommitted: boolean,
): Promise<Survivor> {
  const { database } = raftFiles(dataDir, epoch);
  try {
    await using storage = await LevelStorage.open(database, { cluster: clusterId, replica: replicaId });
    return surveySurvivor(await storage.load(), { discardUncommitted });
  } catch (error) {
    if (!(error instanceof StorageDamagedError)) throw error;
    throw new TsflannelError(damaged(error), { cause: error });
  }
}

async function clusterOf({ dataDir }: Directories): Promise<string | null> {
  const file = await loadClusterFile(dataDir);
  return file?.state === 'member' ? file.clusterId : null;
}

/**
 * Of a host in no cluster, or in the one that the file is of: whose database may be what made the file necessary.
 * Keeps the identity of the host; the lease that its node id had in the file is its own again.
 */
async function restore(options: RestoreOptions): Promise<NewEpoch> {
  const { dataDir, snapshot } = options;
  const { state, term } = snapshot;
  const workplace = await openWorkplace(options, {
    joins: null,
    peers: state.peers,
    families: networkFamilies(state.config),
  });
  try {
    const membership = await membershipFor(dataDir, state.clusterId);
    const selection = workplace.watcher.require();
    const identity = (await loadIdentity(dataDir)) ?? createIdentity();
    const { nodeId } = identity;
    const known = state.members.get(nodeId) ?? state.members.values().next().value;
    const address = controlAddress(selection, known === undefined ? 4 : ipFamily(known.address));
    await workplace.checkConflicts(state.config, nodeId);
    await saveIdentity(dataDir, identity);
    await workplace.saveOptions();
    const { name, port } = workplace.options;
    const publicKey = identity.publicKey.toString('base64');
    const wantsVoter = state.members.get(nodeId)?.wantsVoter ?? true;
    return await beginEpoch({
      dataDir,
      currentEpoch: membership?.epoch ?? null,
      epoch: Math.max(state.epoch, membership?.epoch ?? 0) + 1,
      last: { term, index: toLogIndex(state.index) },
      term,
      state,
      profile: { nodeId, publicKey, name, address, port, wantsVoter },
    });
  } finally {
    await workplace.close();
  }
}

/** Null on a host that is in no cluster. Throws TsflannelError (exit 7) on one that is in another. */
async function membershipFor(dataDir: string, clusterId: string): Promise<Membership | null> {
  const file = await loadClusterFile(dataDir);
  if (file === null) return null;
  if (file.state === 'member' && file.clusterId === clusterId) return file;
  if (file.state === 'member') throw inAnotherCluster(file.clusterId, dataDir);
  throw new TsflannelError(unfinished(file.command, dataDir));
}

function damaged(error: StorageDamagedError): Refusal {
  return refuse(
    'database-damaged',
    EXIT.failed,
    `The cluster cannot be recovered from this host: ${error.message}.`,
    'Recover on another survivor, or run "tsflannel snapshot restore FILE" with a snapshot of this cluster.',
  );
}

function nothingHere({ clusterId }: Membership): Refusal {
  return refuse(
    'nothing-to-recover',
    EXIT.failed,
    `This host has joined cluster ${clusterId} and never received its state.`,
    'Recover on another survivor, or run "tsflannel snapshot restore FILE" with a snapshot of this cluster.',
  );
}

function removed({ clusterId }: Membership): Refusal {
  return refuse(
    'not-a-member',
    EXIT.refused,
    `This host was removed from cluster ${clusterId}, so it has no part in recovering it.`,
    'Recover on a host that is still a member.',
  );
}

function unfinished(command: string, dataDir: string): Refusal {
  return refuse(
    'unfinished-membership',
    EXIT.conflict,
    `An interrupted "tsflannel ${command}" is not finished in the data directory ${dataDir}.`,
    `Run the same "tsflannel ${command}" again, or "tsflannel down --purge" to give it up.`,
  );
}
